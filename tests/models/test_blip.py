"""BLIP: one tower that reads and writes; its tokens, its parts, what is set."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models import blip_pair
from tests.models.blip_pair import CAPTIONING, LENGTH, START, VOCABULARY, WORDS
from tests.models.comparison import error
from vlp_jax.core import trees
from vlp_jax.core.errors import ConfigError
from vlp_jax.models.bert import Bert
from vlp_jax.models.decoder import BertDecoder
from vlp_jax.models.mixed_bert import MixedBert
from vlp_jax.models.outputs import inference
from vlp_jax.models.siglip import SiglipViT

ROWS = 4
OUTPUTS = (
    "image_embedding",
    "text_embedding",
    "match",
    "matching_logits",
    "caption_logits",
    "answer_token_logits",
)


def arrays(**changed):
    """A batch in which questions are the captions, and negatives the next rows."""
    tokens, mask = blip_pair.texts(ROWS)
    answers, answer_mask = blip_pair.texts(ROWS, seed=5)
    found = dict(
        image=blip_pair.pictures(ROWS),
        text_tokens=tokens,
        text_mask=mask,
        answer_tokens=answers,
        answer_mask=answer_mask,
        negative_text_tokens=np.roll(tokens, 1, axis=0),
        negative_text_mask=np.roll(mask, 1, axis=0),
    )
    return found | changed


@functools.cache
def shared(**settings):
    """(model, random variables) of one that does everything with one text tower."""
    model, given = blip_pair.shared_model(answering=True, **settings), arrays()
    shapes = jax.eval_shape(
        model.init, jax.random.key(0), given["image"], given["text_tokens"]
    )
    rng = np.random.default_rng(0)

    def drawn(path, x):
        gain = 1.0 if path[-1].key == "scale" else 0.0
        return jnp.asarray(gain + 0.3 * rng.normal(size=x.shape), x.dtype)

    return model, jax.tree_util.tree_map_with_path(drawn, shapes)


@functools.cache
def program(encode_token=True):
    model, _ = shared(encode_token=encode_token)

    def run(variables, given):
        tokens = inference(model, "image_tokens")(variables, image=given["image"])
        given = given | {
            "image_tokens": tokens,
            "negative_image_tokens": jnp.roll(tokens, -1, axis=0),
        }
        return {name: inference(model, name)(variables, **given) for name in OUTPUTS}

    return jax.jit(run)


def outputs(encode_token=True, **changed):
    return program(encode_token)(shared()[1], arrays(**changed))


def test_the_shapes_of_what_it_gives():
    found = outputs()
    assert {name: x.shape for name, x in found.items()} == {
        "image_embedding": (ROWS, 12),
        "text_embedding": (ROWS, 12),
        "match": (ROWS, 2),
        "matching_logits": (ROWS, 3, 2),
        "caption_logits": (ROWS, LENGTH, VOCABULARY),
        "answer_token_logits": (ROWS, LENGTH, VOCABULARY),
    }
    for name in ("image_embedding", "text_embedding"):
        np.testing.assert_allclose(np.linalg.norm(found[name], axis=1), 1, rtol=1e-5)


def test_padding_is_out_of_sight():
    given, expected = arrays(), outputs()
    mask, told = given["text_mask"], given["answer_mask"]
    changed = outputs(
        text_tokens=np.where(mask, given["text_tokens"], 7),
        answer_tokens=np.where(told, given["answer_tokens"], 9),
    )
    for name in ("text_embedding", "match"):
        assert error(changed[name], expected[name]) <= 1e-5, name
    for name, seen in (("caption_logits", mask), ("answer_token_logits", told)):
        assert error(changed[name][seen], expected[name][seen]) <= 1e-5, name


def test_a_token_is_predicted_from_those_before_it_and_from_the_picture():
    given, expected = arrays(), outputs()["caption_logits"]
    tokens = given["text_tokens"].copy()
    tokens[0, 4] = 5 if tokens[0, 4] != 5 else 6
    changed = outputs(text_tokens=tokens)["caption_logits"]
    assert error(changed[0, :4], expected[0, :4]) <= 1e-5
    assert all(error(changed[0, i], expected[0, i]) > 1e-3 for i in range(4, LENGTH))
    other = outputs(image=given["image"][::-1])["caption_logits"]
    assert error(other[0], expected[0]) > 1e-2


def test_its_own_tokens_take_the_place_of_the_start():
    """[DEC] where it writes, [ENC] where it reads beside a picture, else neither."""
    given = arrays()
    tokens, answers = given["text_tokens"].copy(), given["answer_tokens"].copy()
    tokens[:, 0], answers[:, 0] = 5, 6
    expected, changed = outputs(), outputs(text_tokens=tokens, answer_tokens=answers)
    for name in ("match", "caption_logits", "answer_token_logits"):
        np.testing.assert_array_equal(changed[name], expected[name], err_msg=name)
    assert error(changed["text_embedding"], expected["text_embedding"]) > 1e-3
    tokens[:, 0] = WORDS + 1
    left = outputs(encode_token=False, text_tokens=tokens)
    assert error(left["match"], expected["match"]) <= 1e-5
    tokens[:, 0] = START
    assert error(outputs(False, text_tokens=tokens)["match"], left["match"]) > 1e-3
    assert shared()[0].start_id == WORDS


def test_it_judges_each_pair_and_two_wrong_ones():
    given, found = arrays(), outputs()
    np.testing.assert_allclose(
        found["matching_logits"][:, 0], found["match"], atol=1e-5
    )
    texts = {name: given[f"negative_{name}"] for name in ("text_tokens", "text_mask")}
    expected = outputs(**texts)["match"]
    np.testing.assert_allclose(found["matching_logits"][:, 1], expected, atol=1e-5)
    expected = outputs(image=np.roll(given["image"], -1, axis=0))["match"]
    np.testing.assert_allclose(found["matching_logits"][:, 2], expected, atol=1e-5)


@pytest.mark.parametrize("question", [False, True])
def test_step_by_step_it_writes_the_same(question):
    """The cache holds what was written; the decoder sees a picture or a question."""
    model, variables = shared()
    given, expected = arrays(), outputs()
    asked = ("text_tokens", "text_mask") if question else ()
    tokens = given["answer_tokens" if question else "text_tokens"].copy()
    expected = expected["answer_token_logits" if question else "caption_logits"]
    tokens[:, 0] = model.start_id
    seen = {name: given[name] for name in ("image", *asked)}
    memory = jax.jit(inference(model, "start"))(variables, **seen)
    assert all(len(x) == ROWS for x in jax.tree.leaves(memory))

    def step(cache, tokens, position):
        return model.apply(
            variables | cache,
            memory,
            tokens,
            position,
            method="next_logits",
            mutable=["cache"],
        )

    step, cache = jax.jit(step), {}
    for at in range(LENGTH):
        logits, cache = step(cache, tokens[:, at : at + 1], jnp.int32(at))
        assert error(logits, expected[:, at]) <= 1e-5, at
    assert all(len(x) == ROWS for x in jax.tree.leaves(cache))


def test_the_decoder_shares_all_but_its_attention():
    model, variables = shared()
    params = variables["params"]
    own = {"decoder_attention", "decoder_norm_1"}
    reading = {"attention", "norm_1"}
    both = {"cross_attention", "norm_cross", "mlp", "norm_2"}
    assert params["text"]["encoder"]["block_0"].keys() == own | reading | both
    assert "decoder" not in params

    @jax.jit
    @jax.grad
    def gradient(params):
        given = {k: jnp.asarray(arrays()[k]) for k in ("image", "text_tokens")}
        logits = inference(model, "caption_logits")({"params": params}, **given)
        return jnp.square(logits).sum()

    found = gradient(params)
    for part, tree in found["text"]["encoder"]["block_1"].items():
        some = max(np.abs(x).max() for x in jax.tree.leaves(tree))
        assert (some == 0) == (part in reading), part
    assert np.abs(found["text"]["token_embedding"]).max() > 0


def lacking(**settings):
    return set(blip_pair.shared_model(**settings).lacks)


def test_what_it_is_set_to_do_without():
    embeddings = {"image_embedding", "text_embedding"}
    matching, captions = {"match", "matching_logits"}, {"caption_logits"}
    answers, writes = {"answer_token_logits"}, {"start", "next_logits"}
    assert lacking() == answers
    assert lacking(captioning=False) == captions | answers | writes
    assert lacking(answering=True, captioning=False) == captions
    assert lacking(embedding_size=None, answering=True) == embeddings
    alone = dict(embedding_size=None, matching=False, text=None)
    decoder = blip_pair.tower(BertDecoder)
    expected = embeddings | matching | answers | {"text_states", "fused_states"}
    assert lacking(decoder=decoder, **alone) == expected


# Settings of the model, and what is said.
WRONG = {
    "no start token": (dict(bos_id=None), "this tokenizer has none"),
    "no class token": (
        dict(image=SiglipViT(image_size=8, patch_size=4, **blip_pair.IMAGE)),
        "set model.image.kind to 'plain_vit'",
    ),
    "no encoder": (dict(text=None), "model.embedding_size needs a text tower"),
    "no decoder": (
        dict(text=None, embedding_size=None, matching=False),
        "model.captioning without model.decoder needs a text tower",
    ),
    "another encoder": (
        dict(text=blip_pair.tower(Bert)),
        "set model.text.kind='mixed_bert'",
    ),
    "no width": (dict(embedding_size=0), "model.embedding_size is 0"),
    "other widths": (
        dict(answering=True, text=blip_pair.tower(MixedBert, width=16)),
        "they are 16 and 24 wide; give model.image and model.text one width",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_settings_that_cannot_be(case):
    settings, said = WRONG[case]
    given = arrays()
    model = blip_pair.shared_model(
        **{k: v for k, v in settings.items() if k != "image"}
    )
    if "image" in settings:
        model = model.clone(image=settings["image"])
    with pytest.raises(ConfigError, match=said):
        model.init(jax.random.key(0), given["image"], given["text_tokens"])


def test_published_size():
    """With ViT-B/16, in table 3 of the paper: 252 M sharing all but self-attention.

    Sharing everything has 224 M, and so has transformers' captioning model (on the hub
    it has 247,414,076: the token embedding is there twice).
    """
    base = dict(width=768, depth=12, heads=12, mlp_ratio=4.0)
    words = base | dict(vocab_size=30_524, length=512)
    given = jnp.zeros((1, 384, 384, 3), jnp.uint8), jnp.zeros((1, 512), jnp.int32)

    def count(model, **parts):
        image = model.image.clone(image_size=384, patch_size=16, **base)
        model = model.clone(image=image, **parts)
        return trees.count(jax.eval_shape(model.init, jax.random.key(0), *given))

    alone = blip_pair.our_model(CAPTIONING)
    found = count(alone, decoder=blip_pair.tower(BertDecoder, **words))
    assert found == 247_414_076 - 30_524 * 768 == 223_971_644
    text = blip_pair.tower(MixedBert, **words)
    pretrained = count(blip_pair.shared_model(), text=text, embedding_size=256)
    assert pretrained == 252_733_759
