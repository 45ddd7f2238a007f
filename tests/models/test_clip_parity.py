"""TwoTower with the weights of HF's CLIPModel computes what that computes."""

import functools

import jax
import jax.numpy as jnp
import pytest
from flax.traverse_util import unflatten_dict

from tests.models import clip_pair
from tests.models.comparison import check_equals_hf
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
    found = value_and_gradients(model)(params, *arrays)
    pixels = (arrays[0] / 255 - clip_pair.MEAN) / clip_pair.STD
    texts = dict(input_ids=ids, attention_mask=mask)
    check_equals_hf(found, theirs, clip_pair.translate, pixels, **texts)
