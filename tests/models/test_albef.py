"""ALBEF computes what transformers' parts do, put together as the paper does."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import unflatten_dict

from tests.models import hf_towers
from tests.models.clip_pair import EMBEDDING, VOCABULARY, captions, pictures
from tests.models.comparison import check_gradients, error
from tests.models.hf_towers import END, IMAGE, TEXT, arrays_of, saved
from vlp_jax.core.errors import ConfigError
from vlp_jax.models.albef import Albef
from vlp_jax.models.decoder import BertDecoder
from vlp_jax.models.fusion import BertFusion
from vlp_jax.models.outputs import inference
from vlp_jax.porting.hf_image_towers import IMAGES
from vlp_jax.porting.hf_text_towers import TEXTS, layers
from vlp_jax.porting.weights import linear, norm, rule, to_ours

NORMS = ("attention.output.LayerNorm", "output.LayerNorm")
SHAPE = dict(mlp_ratio=3.0, **TEXT)


def our_model(**settings):
    given = dict(embedding_size=EMBEDDING, image_mean=(0.5,) * 3, image_std=(0.5,) * 3)
    return Albef(
        hf_towers.our_tower("plain_vit"),
        hf_towers.our_tower("bert"),
        BertFusion(**SHAPE),
        **given | settings,
    )


def oracle():
    """ViTModel, the lower layers of BertModel, BlipTextEncoder for the upper ones."""
    import torch
    import transformers as hf
    from transformers.models.bert.modeling_bert import BertLMPredictionHead
    from transformers.models.blip.modeling_blip_text import BlipTextEncoder

    from tests.models.clip_pair import with_weights

    text = hf_towers.hf_config("bert")
    fusion = hf.BlipTextConfig(
        **hf_towers.shape(**TEXT), encoder_hidden_size=IMAGE["width"], is_decoder=True
    )
    parts = {
        "vision_model": hf.ViTModel(hf_towers.hf_config("plain_vit")),
        "text_model": hf.BertModel(text),
        "fusion_model": BlipTextEncoder(fusion),
        "image_projection": torch.nn.Linear(IMAGE["width"], EMBEDDING),
        "text_projection": torch.nn.Linear(TEXT["width"], EMBEDDING),
        "matching_head": torch.nn.Linear(TEXT["width"], 2),
        "token_head": BertLMPredictionHead(text),
    }
    model = torch.nn.ModuleDict(parts).float().eval()
    with_weights(model)
    model["token_head"].decoder.weight = (
        parts["text_model"].get_input_embeddings().weight
    )
    return model


def rules():
    depth = TEXT["depth"]
    found = [*IMAGES["plain_vit"].rules(IMAGE), *TEXTS["bert"].rules(TEXT)]
    for i in range(depth):
        block = f"fusion/encoder/block_{i}"
        layer = f"fusion_model.encoder.layer.{i}.crossattention"
        for name in ("query", "key", "value"):
            attention = f"{layer}.self.{name}"
            found += linear(f"{block}/cross_attention/{name}", attention)
        found += linear(f"{block}/cross_attention/out", f"{layer}.output.dense")
        found += norm(f"{block}/norm_cross", f"{layer}.output.LayerNorm")
    found += layers("fusion", "fusion_model", depth, "self", NORMS)
    for name in ("image_projection", "text_projection", "matching_head"):
        found += linear(name, name)
    found += linear("token_head/transform", "token_head.transform.dense")
    found += norm("token_head/norm", "token_head.transform.LayerNorm")
    return found + rule("token_head/bias", "token_head.decoder.bias")


def translate(theirs):
    """{their name: array} -> {our path: array}, without the poolers nobody reads."""
    named = {
        key.replace("fusion_model.layer", "fusion_model.encoder.layer"): x
        for key, x in saved("plain_vit", theirs).items()
        if key != "token_head.bias"  # a second one, which the decoder does not use
    }
    ours = to_ours(rules(), named)
    return {path: x for path, x in ours.items() if "pooler" not in path}


def theirs_forward(model, pixels, ids, mask):
    """(image embedding, text embedding, match, token scores) as torch tensors."""
    import torch

    ids, mask = torch.tensor(ids, dtype=torch.long), torch.tensor(mask)
    dtype = next(model.parameters()).dtype
    pixels = torch.tensor(pixels.transpose(0, 3, 1, 2)).to(dtype)
    image = model["vision_model"](pixels).last_hidden_state
    text = model["text_model"](ids, attention_mask=mask).last_hidden_state
    hidden = (~mask)[:, None, None, :].to(dtype) * torch.finfo(dtype).min
    fused = model["fusion_model"](
        text, attention_mask=hidden, encoder_hidden_states=image
    ).last_hidden_state
    scores = model["token_head"](fused)
    embed = torch.nn.functional.normalize
    return (
        embed(model["image_projection"](image[:, 0]), dim=-1),
        embed(model["text_projection"](text[:, 0]), dim=-1),
        model["matching_head"](fused[:, 0]),
        scores,
    )


NAMES = ("image_embedding", "text_embedding", "match", "masked_lm")


def some_weights(shapes):
    rng = np.random.default_rng(3)
    return [rng.standard_normal(shape) for shape in shapes]


@pytest.fixture(scope="module")
def texts():
    return captions(END)


def test_equals_transformers_parts(texts):
    """Outputs to 1e-5 of both precisions, gradients of all of them together to 1e-4."""
    import torch

    model, theirs = our_model(), oracle()
    params = unflatten_dict(translate(arrays_of(theirs)), sep="/")
    params["logit_scale"] = jnp.float32(1)
    images, (ids, mask) = pictures(), texts

    def loss(params, weights):
        given = map(jnp.asarray, (images, ids, mask))
        found = model.apply({"params": params}, *given)
        found = [found[name] for name in NAMES]
        # Padding looks at what comes before it in both, but nobody reads it.
        found[3] = found[3] * mask[..., None]
        return sum((x * w).sum() for x, w in zip(found, weights, strict=True)), found

    shapes = (6, EMBEDDING), (6, EMBEDDING), (6, 2), (*ids.shape, VOCABULARY)
    weights = some_weights(shapes)
    (_, found), gradients = jax.jit(jax.value_and_grad(loss, has_aux=True))(
        params, [jnp.float32(w) for w in weights]
    )
    assert gradients.pop("logit_scale") == 0
    for precision in ("float", "double"):
        theirs = getattr(theirs, precision)()
        dtype = next(theirs.parameters()).dtype
        expected = list(theirs_forward(theirs, (images / 255 - 0.5) / 0.5, ids, mask))
        expected[3] = expected[3] * torch.tensor(mask)[..., None]
        for name, ours, other in zip(NAMES, found, expected, strict=True):
            assert error(ours, other.detach().numpy()) <= 1e-5, name
        theirs.zero_grad()
        pairs = zip(expected, weights, strict=True)
        sum((x * torch.tensor(w).to(dtype)).sum() for x, w in pairs).backward()
        gradients_there = {
            k: np.zeros(p.shape, np.float32) if p.grad is None else p.grad.numpy()
            for k, p in theirs.named_parameters()
        }
        check_gradients(gradients, translate(gradients_there))


@pytest.fixture(scope="module")
def answering():
    """A model with both kinds of answers, and its variables."""
    words = dict(vocab_size=VOCABULARY, length=8, **SHAPE)
    model = our_model(answers=5, decoder=BertDecoder(**words))
    images, (ids, mask) = pictures(), captions(END)
    init = jax.jit(model.init)
    return model, init(jax.random.key(0), images[:1], ids[:1, :8], mask[:1, :8])


def test_three_pairs_a_row_are_matched(answering, texts):
    """As `match` judges them one by one."""
    model, variables = answering
    images, (ids, mask) = pictures(), texts
    other = np.array([1, 2, 3, 4, 5, 0])

    @functools.partial(jax.jit, static_argnames="name")
    def run(name, **arrays):
        return inference(model, name)(variables, **arrays)

    tokens = run("image_tokens", image=images)
    states = run("text_states", text_tokens=ids, text_mask=mask)
    found = run(
        "matching_logits",
        image_tokens=tokens,
        text_states=states,
        text_mask=mask,
        negative_image_tokens=tokens[other],
        negative_text_states=states[other],
        negative_text_mask=mask[other],
    )
    one_by_one = jax.jit(inference(model, "match"))
    pairs = [(tokens, ids, mask), (tokens, ids[other], mask[other])]
    pairs.append((tokens[other], ids, mask))
    for at, (image_tokens, text_tokens, text_mask) in enumerate(pairs):
        expected = one_by_one(
            variables,
            image_tokens=image_tokens,
            text_tokens=text_tokens,
            text_mask=text_mask,
        )
        assert error(found[:, at], np.asarray(expected)) <= 1e-5


def test_an_answer_is_written_word_by_word(answering, texts):
    """With the kept keys and values as in one pass over the whole answer."""
    model, variables = answering
    images, (ids, mask) = pictures(), texts
    answer = np.random.default_rng(5).integers(0, VOCABULARY, (6, 8))
    whole = jax.jit(inference(model, "answer_token_logits"))(
        variables, image=images, text_tokens=ids, text_mask=mask, answer_tokens=answer
    )
    tokens = jax.jit(inference(model, "image_tokens"))(variables, image=images)
    memory = jax.jit(functools.partial(model.apply, method="start"))(
        variables, tokens, ids, mask
    )
    step = jax.jit(
        functools.partial(model.apply, method="next_logits", mutable=["cache"])
    )
    cache = {}
    for at in range(8):
        logits, cache = step(
            {**variables, **cache}, memory, answer[:, at : at + 1], jnp.int32(at)
        )
        assert error(logits, np.asarray(whole[:, at])) <= 1e-5, at


def test_classes_of_answers(answering, texts):
    model, variables = answering
    ids, mask = texts
    found = jax.jit(inference(model, "answer_logits"))(
        variables, image=pictures(), text_tokens=ids, text_mask=mask
    )
    assert found.shape == (6, 5) and found.dtype == jnp.float32


def test_what_it_lacks_is_said():
    bare = our_model().bind({"params": {"logit_scale": jnp.zeros(())}})
    states = jnp.zeros((1, 2, 16))
    with pytest.raises(ConfigError, match="no classes of answers; train it with"):
        bare.answer_logits(states)
    with pytest.raises(ConfigError, match="writes no answers; set model.decoder.kind"):
        bare.answer_token_logits(jnp.zeros((1, 2), jnp.int32), states)
    narrow = our_model().clone(fusion=BertFusion(width=8, depth=1, heads=2))
    with pytest.raises(ConfigError, match="fusion.width is 8, and the text .* has 16"):
        jax.eval_shape(
            narrow.init,
            jax.random.key(0),
            jnp.zeros((1, 12, 12, 3), jnp.uint8),
            jnp.zeros((1, 8), jnp.int32),
        )
