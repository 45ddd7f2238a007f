"""TwoTower with the weights of HF's CLIPModel computes what that computes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import unflatten_dict

from tests.models import clip_pair
from tests.models.comparison import check_gradients, error
from vlp_jax.objectives.softmax import dense_softmax


def our_outputs(params, model, image, ids, mask):
    """What HF's forward with return_loss gives, under HF's names."""
    variables = {"params": params}
    image = model.apply(variables, image, method="encode_image")
    text = model.apply(variables, ids, mask, method="encode_text")
    logit_scale = params["logit_scale"]
    rows = jnp.arange(len(image))
    total = dense_softmax(image, text, logit_scale, rows >= 0, rows)
    return total / len(image), {
        "image_embeds": image,
        "text_embeds": text,
        "logits_per_image": jnp.exp(logit_scale) * image @ text.T,
    }


def value_and_gradients(model):
    function = functools.partial(our_outputs, model=model)
    return jax.jit(
        lambda params, *arrays: jax.value_and_grad(
            lambda p: function(p, image=arrays[0], ids=arrays[1], mask=arrays[2]),
            has_aux=True,
        )(params)
    )


def hf_outputs(model, image, ids, mask):
    """(loss, outputs, gradients by key) of HF's model, in the precision it is in."""
    import torch

    pixels = (image.astype(np.float32) / 255 - clip_pair.MEAN) / clip_pair.STD
    dtype = next(model.parameters()).dtype
    found = model(
        input_ids=torch.tensor(ids, dtype=torch.long),
        attention_mask=torch.tensor(mask, dtype=torch.long),
        pixel_values=torch.tensor(pixels.transpose(0, 3, 1, 2)).to(dtype),
        return_loss=True,
    )
    model.zero_grad()
    found.loss.backward()
    names = ("image_embeds", "text_embeds", "logits_per_image")
    outputs = {name: found[name].detach().numpy() for name in names}
    gradients = {k: p.grad.numpy() for k, p in model.named_parameters()}
    return found.loss.item(), outputs, gradients


@pytest.mark.parametrize(
    ("activation", "eos_id", "scan"), [("quick_gelu", 2, False), ("gelu", 25, True)]
)
def test_equals_hf_clip(activation, eos_id, scan):
    theirs = clip_pair.hf_model(activation, eos_id)
    weights = {k: p.detach().numpy().copy() for k, p in theirs.named_parameters()}
    flat = clip_pair.translate(weights)
    params = unflatten_dict(flat, sep="/")
    ids, mask = clip_pair.captions(eos_id)
    arrays = clip_pair.pictures(), ids, mask
    model = clip_pair.our_model(activation, eos_id, scan=scan)
    (loss, outputs), gradients = value_and_gradients(model)(params, *arrays)

    for precision in ("float", "double"):
        oracle = getattr(theirs, precision)()
        hf_loss, hf_found, hf_gradients = hf_outputs(oracle, *arrays)
        assert abs(loss - hf_loss) / hf_loss <= 1e-5
        for name, expected in hf_found.items():
            assert error(outputs[name], expected) <= 1e-5, name
        check_gradients(gradients, clip_pair.translate(hf_gradients))


@functools.cache
def some_variables():
    model, rng = clip_pair.our_model("gelu", 25), np.random.default_rng(0)
    arrays = jax.random.key(0), clip_pair.pictures(), *captions()
    return jax.tree.map(
        lambda x: jnp.asarray(0.3 * rng.normal(size=x.shape), x.dtype),
        jax.eval_shape(model.init, *arrays),
    )


def captions():
    return clip_pair.captions(25)


def encode_text(eos_id, ids, mask=None):
    model = clip_pair.our_model("gelu", eos_id)
    encode = jax.jit(functools.partial(model.apply, method="encode_text"))
    return encode(some_variables(), ids, mask)


def test_the_two_rules_for_the_end_of_text_differ():
    """Else the parity above could not tell them apart."""
    ids, mask = captions()
    ids[0, 2] = 39
    largest, first = (encode_text(eos_id, ids, mask) for eos_id in (2, 25))
    assert error(largest[0], first[0]) > 0.01


def test_padding_changes_nothing():
    ids, mask = captions()
    expected = encode_text(25, ids, mask)
    np.testing.assert_array_equal(
        encode_text(25, np.where(mask, ids, 7), mask), expected
    )
    short = encode_text(25, ids[1:2, :2])  # shorter than the tower's length
    np.testing.assert_allclose(short, expected[1:2], atol=1e-6)
