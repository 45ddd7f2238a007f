"""SigLIP's towers with the weights of HF's SiglipModel compute what that computes."""

import jax
import jax.numpy as jnp
import pytest

from tests.models import siglip_pair
from tests.models.clip_pair import pictures
from tests.models.comparison import check_equals_hf


def sigmoid_loss(logits):
    """mean_i sum_j -log sigmoid(+-logits), + on the diagonal: the definition."""
    signs = 2 * jnp.eye(len(logits)) - 1
    return -jax.nn.log_sigmoid(signs * logits).sum(axis=1).mean()


def our_outputs(params, model, image, ids, mask):
    """What HF's forward with return_loss gives, under HF's names."""
    variables = {"params": params}
    image = model.apply(variables, image, method="image_embedding")
    text = model.apply(variables, ids, mask, method="text_embedding")
    logits = jnp.exp(params["logit_scale"]) * image @ text.T + params["logit_bias"]
    return sigmoid_loss(logits), {
        "image_embeds": image,
        "text_embeds": text,
        "logits_per_image": logits,
    }


@pytest.mark.parametrize("scan", [False, pytest.param(True, marks=pytest.mark.long)])
def test_equals_hf_siglip(scan):
    theirs, params = siglip_pair.weights()
    arrays = pictures(), *siglip_pair.captions()
    model = siglip_pair.our_model(scan=scan)
    function = jax.value_and_grad(our_outputs, has_aux=True)
    found = jax.jit(function, static_argnums=1)(params, model, *arrays)
    pixels = (arrays[0] / 255 - 0.5) / 0.5
    texts = dict(input_ids=arrays[1])  # as HF's processor: without a mask
    check_equals_hf(found, theirs, siglip_pair.translate, pixels, **texts)
