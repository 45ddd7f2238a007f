"""The captioner computes what transformers' VisionEncoderDecoderModel does."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import unflatten_dict

from tests.models import clip_pair, hf_towers
from tests.models.clip_pair import VOCABULARY, pictures
from tests.models.comparison import check_gradients, error
from tests.models.hf_towers import END, PADDING, ROWS, TEXT, arrays_of, saved
from vlp_jax.core import trees
from vlp_jax.core.types import Need
from vlp_jax.models.captioner import Captioner
from vlp_jax.models.decoder import BertDecoder, Gpt2Decoder
from vlp_jax.models.outputs import compute_outputs
from vlp_jax.models.resnet import ResNet
from vlp_jax.porting import hf_encoder_decoder
from vlp_jax.porting.weights import to_ours

KINDS = {"bert": BertDecoder, "gpt2": Gpt2Decoder}
NARROW = dict(hf_towers.IMAGE)
# As wide as the image tower, or narrower.
WIDTHS = {"same": dict(width=24, depth=2, heads=3), "other": TEXT}
CASES = pytest.mark.parametrize(
    ("kind", "width"), [("bert", "other"), ("gpt2", "other"), ("gpt2", "same")]
)
BUFFERS = ("decoder.cls.predictions.decoder.bias",)  # is cls.predictions.bias


def our_model(kind, width, **image):
    decoder = KINDS[kind](
        vocab_size=VOCABULARY, length=ROWS, mlp_ratio=3.0, **WIDTHS[width]
    )
    tower = hf_towers.our_tower("plain_vit", **image)
    return Captioner(tower, decoder, image_mean=(0.5,) * 3, image_std=(0.5,) * 3)


def oracle(kind, width):
    import transformers as hf

    image, decoder = hf_towers.hf_config("plain_vit"), hf_towers.hf_config(kind)
    wide = hf_towers.shape(**WIDTHS[width])
    if kind == "gpt2":
        wide = {"n_embd": wide["hidden_size"], "n_inner": wide["intermediate_size"]}
        wide |= {"n_head": WIDTHS[width]["heads"]}
    decoder.update(wide | {"is_decoder": True, "add_cross_attention": True})
    config = hf.VisionEncoderDecoderConfig.from_encoder_decoder_configs(image, decoder)
    model = hf.VisionEncoderDecoderModel(config).float().eval()
    return clip_pair.with_weights(model)


def translate(kind, width, theirs):
    """{their name in memory: array} -> {our path: array}."""
    inside = "encoder."
    named = {
        inside + key: x
        for key, x in saved(
            "plain_vit",
            {k.removeprefix(inside): x for k, x in theirs.items() if inside == k[:8]},
        ).items()
    }
    named |= {k: x for k, x in theirs.items() if k[:8] != inside}
    model = {"image": NARROW, "decoder": {"kind": kind, **WIDTHS[width]}}
    return to_ours(hf_encoder_decoder.rules(model), named, BUFFERS)


def theirs_logits(model, images, ids):
    import torch

    dtype = next(model.parameters()).dtype
    pixels = torch.tensor(((images / 255 - 0.5) / 0.5).transpose(0, 3, 1, 2)).to(dtype)
    ids = torch.tensor(ids, dtype=torch.long)
    return model(pixel_values=pixels, decoder_input_ids=ids).logits


@functools.cache
def texts():
    return clip_pair.captions(END)


@CASES
def test_equals_transformers(kind, width):
    """Scores to 1e-5 of both precisions, the gradient of every parameter to 1e-4."""
    model, theirs = our_model(kind, width), oracle(kind, width)
    params = unflatten_dict(translate(kind, width, arrays_of(theirs)), sep="/")
    images, (ids, mask) = pictures(), texts()
    weights = np.random.default_rng(3).normal(size=(*ids.shape, VOCABULARY))
    weights *= mask[..., None]  # padding has no gradient there

    def loss(params):
        found = model.apply({"params": params}, jnp.asarray(images), jnp.asarray(ids))
        return (found * weights.astype(np.float32)).sum(), found

    (_, found), gradients = jax.jit(jax.value_and_grad(loss, has_aux=True))(params)
    for precision in ("float", "double"):
        theirs = getattr(theirs, precision)()
        expected = theirs_logits(theirs, images, ids)
        assert error(found, expected.detach().numpy()) <= 1e-5
        theirs.zero_grad()
        (expected * expected.new_tensor(weights)).sum().backward()
        there = {  # the pooler has none
            k: np.zeros(p.shape, np.float32) if p.grad is None else p.grad.numpy()
            for k, p in theirs.named_parameters()
        }
        check_gradients(gradients, translate(kind, width, there))


@CASES
def test_the_likeliest_texts_are_transformers(kind, width):
    """Token by token, as greedy search finds them there."""
    theirs, model = oracle(kind, width), our_model(kind, width)
    params = unflatten_dict(translate(kind, width, arrays_of(theirs)), sep="/")
    variables = {"params": jax.tree.map(jnp.asarray, params)}
    images = jnp.asarray(pictures())
    memory = jax.jit(lambda v: model.apply(v, images, method=context))(variables)

    @jax.jit
    def step(cache, newest, at):
        given = {**variables, **cache}, memory, newest, at
        return model.apply(*given, method="next_logits", mutable=["cache"])

    tokens, cache = np.full((6, 1), PADDING), {}
    for at in range(ROWS):
        logits, cache = step(cache, jnp.asarray(tokens[:, -1:]), jnp.int32(at))
        expected = theirs_logits(theirs, pictures(), tokens)[:, -1].detach().numpy()
        assert error(logits, expected) <= 1e-5, at
        tokens = np.concatenate([tokens, expected.argmax(-1)[:, None]], axis=1)


def context(model, image):
    return model.start(model.image_context(model.image_tokens(image)))


def test_a_locked_tower_gets_no_gradient():
    """And what trains does: the map between the two, and the decoder."""
    model = our_model("gpt2", "other")
    given = {"image": pictures(), "text_tokens": texts()[0]}
    batch = {"pairs": jax.tree.map(jnp.asarray, given)}
    init = jax.jit(model.init)(jax.random.key(0), *batch["pairs"].values())
    compute, need = compute_outputs(model), Need("caption_logits")

    @jax.jit
    @jax.grad
    def gradient(trained, locked):
        variables = {"params": {**trained, **locked}}
        outputs, _ = compute({"live": variables}, [need], batch, jax.random.key(0))
        return jnp.square(outputs[need]).sum()

    params = dict(init["params"])
    locked = {"image": params.pop("image")}
    found = trees.flatten(gradient(params, locked))
    assert {path.split("/")[0] for path in found} == {"decoder", "context_projection"}
    assert all(np.abs(x).max() > 0 for p, x in found.items() if "key/bias" not in p)


def test_a_residual_network_is_read_place_by_place():
    tower = ResNet(depths=(1, 1), block="basic", stem_width=4)
    model = our_model("gpt2", "other").clone(image=tower)
    images = jnp.asarray(np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)))
    images = images.astype(jnp.uint8)
    tokens = jnp.asarray(texts()[0][:2])
    variables = jax.jit(model.init)(jax.random.key(0), images, tokens)
    shape = variables["params"]["context_projection"]["kernel"].shape
    assert shape == (8, 16)
    seen = jax.jit(functools.partial(model.apply, method="image_tokens"))
    grid = seen(variables, images)
    assert grid.shape == (2, 4 * 4, 8)
    pooled = jax.jit(tower.apply)(
        {k: v["image"] for k, v in variables.items()},
        (images.astype(jnp.float32) / 255 - 0.5) / 0.5,
    )
    np.testing.assert_allclose(grid.mean(axis=1), pooled, atol=1e-5)
