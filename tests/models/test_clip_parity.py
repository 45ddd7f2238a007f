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
