"""ViLT computes what HF's does; padding is out of sight; its outputs by their names."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models import vilt_pair
from tests.models.comparison import check_gradients, error
from tests.models.hf_towers import gradients_of
from tests.models.vilt_pair import HEADS, LENGTH
from vlp_jax.core import trees
from vlp_jax.core.errors import ConfigError
from vlp_jax.models.vit import PlainViT

ROWS = 5
MLM, RETRIEVAL, ANSWERING = HEADS
# The class there -> (our output, parameters there without an effect on it)
OUTPUTS = {
    MLM: ("masked_lm", ("vilt.pooler.dense.weight", "vilt.pooler.dense.bias")),
    RETRIEVAL: ("match", ()),
    ANSWERING: ("answer", ()),
}
SHAPES = {
    MLM: (ROWS, LENGTH, vilt_pair.VOCABULARY),
    RETRIEVAL: (ROWS, 1),
    ANSWERING: (ROWS, vilt_pair.ANSWERS),
}


def logits_of(kind, found):
    """As HF gives them: of a match one number, the score."""
    name, _ = OUTPUTS[kind]
    if name != "match":
        return found[name]
    return found[name][..., 1:] - found[name][..., :1]


def ours(kind):
    """((projected logits, all outputs), gradients), and how they are projected."""
    model, rng = vilt_pair.our_model(kind), np.random.default_rng(3)

    def project(params, ways, *arrays):
        found = model.apply({"params": params}, *arrays)
        return (logits_of(kind, found) * ways).sum(), found

    ways = rng.normal(size=SHAPES[kind]).astype(np.float32)
    function = jax.jit(jax.value_and_grad(project, has_aux=True))
    return function(vilt_pair.params(kind), ways, *inputs()), ways


def inputs():
    return vilt_pair.pictures(ROWS), *vilt_pair.captions(ROWS)


def theirs(kind, precision, pixels, ids, mask, pixel_mask=None):
    """(HF's model, what it gives for all of it, and for its trunk)."""
    import torch

    model = getattr(vilt_pair.hf_model(kind), precision)()
    dtype = next(model.parameters()).dtype
    given = dict(
        input_ids=torch.tensor(ids).long(),
        attention_mask=torch.tensor(mask).long(),
        pixel_values=torch.tensor(pixels.transpose(0, 3, 1, 2)).to(dtype),
    )
    if pixel_mask is not None:
        given["pixel_mask"] = torch.tensor(pixel_mask).long()
    return model, model(**given).logits, model.vilt(**given)


@pytest.mark.parametrize("kind", HEADS)
def test_equals_hf(kind):
    import torch

    ((_, found), gradients), ways = ours(kind)
    unused = OUTPUTS[kind][1]
    if unused:
        assert not any(map(np.any, gradients.pop("pooler").values()))
    image, ids, mask = inputs()
    for precision in ("float", "double"):
        model, logits, trunk = theirs(kind, precision, image / 127.5 - 1, ids, mask)
        assert error(logits_of(kind, found), logits.detach().numpy()) <= 1e-5
        # HF shuffles the patches each time.
        words = trunk.last_hidden_state[:, :LENGTH].detach().numpy()
        assert error(found["states"][:, :LENGTH], words) <= 1e-5
        assert error(found["pooled"], trunk.pooler_output.detach().numpy()) <= 1e-5
        model.zero_grad()
        (logits * torch.tensor(ways)).sum().backward()
        expected = vilt_pair.translate(kind, gradients_of(model, unused))
        expected = {k: x for k, x in expected.items() if k.split("/")[0] in gradients}
        check_gradients(gradients, expected)


SIZES = [(20, 24), (12, 8), (4, 24), (16, 12), (12, 12)]


def framed():
    """Pictures of several sizes in one frame, and where they are."""
    mask = np.zeros((ROWS, 20, 24), bool)
    for row, (height, width) in enumerate(SIZES):
        mask[row, :height, :width] = True
    return vilt_pair.pictures(ROWS, 20, 24), mask


@functools.cache
def applied(kind):
    """(method, further arguments) -> its outputs, compiled."""
    model, params = vilt_pair.our_model(kind), vilt_pair.params(kind)
    apply = jax.jit(model.apply, static_argnames="method")
    return lambda method, *x: apply({"params": params}, *x, method=method)


def test_equals_hf_for_pictures_of_several_sizes():
    _, ids, mask = inputs()
    image, pixel_mask = framed()
    run = applied(MLM)
    tokens = run("image_tokens", image, pixel_mask)
    found = run("masked_lm_logits", ids, mask, tokens, pixel_mask)
    pixels = (image / 127.5 - 1) * pixel_mask[..., None]
    _, expected, _ = theirs(MLM, "double", pixels, ids, mask, pixel_mask)
    assert error(found, expected.detach().numpy()) <= 1e-5


def test_padding_is_out_of_sight():
    """Of texts and of pictures; neither matters what fills it."""
    image, ids, mask = inputs()
    run = applied(RETRIEVAL)
    tokens = run("image_tokens", image)
    expected = run("match", tokens, ids, mask)
    changed = run("match", tokens, np.where(mask, ids, 7), mask)
    np.testing.assert_allclose(changed, expected, atol=1e-6)
    cut = run("match", tokens[1:2], ids[1:2, :2], mask[1:2, :2])
    np.testing.assert_allclose(cut, expected[1:2], atol=1e-5)
    frame, pixel_mask = framed()
    found, other = (
        run("match", run("image_tokens", x, pixel_mask), ids, mask, pixel_mask)
        for x in (frame, np.where(pixel_mask[..., None], frame, 255 - frame))
    )
    np.testing.assert_allclose(found, other, atol=1e-6)
    alone = run("image_tokens", frame[3:4, :16, :12])
    np.testing.assert_allclose(
        run("match", alone, ids[3:4], mask[3:4]), found[3:4], atol=1e-5
    )


def test_pairs_and_texts_with_a_negative_picture():
    image, ids, mask = inputs()
    run = applied(RETRIEVAL)
    tokens = run("image_tokens", image)
    other = tokens[::-1]
    states = run("pair_states", tokens, other, ids, mask)
    assert states.shape == (ROWS, 2, LENGTH + 1 + 9, 24)
    for at, given in enumerate((tokens, other)):
        expected = run("stream_states", given, ids, mask)
        np.testing.assert_allclose(states[:, at], expected, atol=1e-5)
        match = run("match", given, ids, mask)
        logits = run("matching_logits", states)
        np.testing.assert_allclose(logits[:, at], match, atol=1e-5)
    assert logits.shape == (ROWS, 2, 2) and not np.any(logits[..., 0])
    for at, name in enumerate(("", "unmatched_")):
        words = run(f"{name}word_states", states, mask)
        patches = run(f"{name}patch_states", states, mask)
        np.testing.assert_array_equal(words, states[:, at, :LENGTH])
        np.testing.assert_array_equal(patches, states[:, at, LENGTH + 1 :])
    np.testing.assert_array_equal(run("unmatched_text_mask", mask), mask)


def test_negative_pictures_of_several_sizes():
    _, ids, mask = inputs()
    image, pixel_mask = framed()
    run = applied(RETRIEVAL)
    tokens, turn = run("image_tokens", image, pixel_mask), np.array([1, 2, 3, 4, 0])
    given = tokens, tokens[turn], ids, mask, pixel_mask
    states = run("pair_states", *given, pixel_mask[turn])
    expected = run("match", tokens[turn], ids, mask, pixel_mask[turn])
    np.testing.assert_allclose(
        run("matching_logits", states)[:, 1], expected, atol=1e-5
    )
    with pytest.raises(ConfigError, match="one of pixel_mask and negative_pixel_mask"):
        run("pair_states", *given)


@pytest.mark.parametrize("kind", HEADS)
def test_heads_are_there_by_a_setting(kind):
    model, (image, ids, mask) = vilt_pair.our_model(kind), inputs()
    shapes = jax.eval_shape(model.init, jax.random.key(0), image, ids, mask)["params"]
    names = {
        MLM: {"masked_lm_head"},
        RETRIEVAL: {"matching_head"},
        ANSWERING: {"answer_head"},
    }[kind]
    common = {"image", "text", "modality_embedding", "pooler"}
    assert shapes.keys() == common | names
    assert jax.tree.map(jnp.shape, shapes) == jax.tree.map(
        jnp.shape, vilt_pair.params(kind)
    )


def test_published_size():
    """ViLT-B/32: 111.6 M and two heads; 23.4 M of them are the words."""
    model = vilt_pair.our_model(RETRIEVAL)
    image = model.image.clone(
        image_size=384, patch_size=32, width=768, depth=12, heads=12, mlp_ratio=4.0
    )
    model = model.clone(image=image, vocab_size=30_522, length=40, masked_lm=True)
    given = jnp.zeros((1, 384, 384, 3), jnp.uint8), jnp.zeros((1, 40), jnp.int32)
    shapes = jax.eval_shape(model.init, jax.random.key(0), *given)["params"]
    assert trees.count(shapes) == 112_218_427


def test_it_reads_a_text_without_a_mask_whole():
    image, ids, mask = inputs()
    run = applied(RETRIEVAL)
    found = run(None, image, ids)["match"]
    expected = run(None, image, ids, np.ones_like(mask))["match"]
    np.testing.assert_array_equal(found, expected)


def test_settings_that_cannot_be():
    image, ids = map(jnp.asarray, inputs()[:2])
    model = vilt_pair.our_model(MLM)
    plain = PlainViT(image_size=12, patch_size=4, **vilt_pair.IMAGE)
    with pytest.raises(ConfigError, match="set model.image.kind='stream_vit'"):
        model.clone(image=plain).init(jax.random.key(0), image, ids)
    with pytest.raises(ConfigError, match="built for 10 tokens and got 20; set token"):
        model.init(jax.random.key(0), image, jnp.tile(ids, 2))
