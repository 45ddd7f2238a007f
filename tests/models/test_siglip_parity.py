"""SigLIP's towers with the weights of HF's SiglipModel compute what that computes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models import siglip_pair
from tests.models.clip_pair import pictures
from tests.models.comparison import check_gradients, error


def sigmoid_loss(logits):
    """mean_i sum_j -log sigmoid(+-logits), + on the diagonal: the definition."""
    signs = 2 * jnp.eye(len(logits)) - 1
    return -jax.nn.log_sigmoid(signs * logits).sum(axis=1).mean()


def our_outputs(params, model, image, ids, mask):
    """What HF's forward with return_loss gives, under HF's names."""
    variables = {"params": params}
    image = model.apply(variables, image, method="encode_image")
    text = model.apply(variables, ids, mask, method="encode_text")
    logits = jnp.exp(params["logit_scale"]) * image @ text.T + params["logit_bias"]
    return sigmoid_loss(logits), {
        "image_embeds": image,
        "text_embeds": text,
        "logits_per_image": logits,
    }


def hf_outputs(model, image, ids):
    """(loss, outputs, gradients by key); as HF's processor, without a text mask."""
    import torch

    pixels = (image.astype(np.float32) / 255 - 0.5) / 0.5
    dtype = next(model.parameters()).dtype
    found = model(
        input_ids=torch.tensor(ids, dtype=torch.long),
        pixel_values=torch.tensor(pixels.transpose(0, 3, 1, 2)).to(dtype),
        return_loss=True,
    )
    model.zero_grad()
    found.loss.backward()
    names = ("image_embeds", "text_embeds", "logits_per_image")
    outputs = {name: found[name].detach().numpy() for name in names}
    gradients = {k: p.grad.numpy() for k, p in model.named_parameters()}
    return found.loss.item(), outputs, gradients


@pytest.mark.parametrize("scan", [False, True])
def test_equals_hf_siglip(scan):
    theirs, params = siglip_pair.weights()
    arrays = pictures(), *siglip_pair.captions()
    model = siglip_pair.our_model(scan=scan)
    function = jax.value_and_grad(our_outputs, has_aux=True)
    (loss, outputs), gradients = jax.jit(function, static_argnums=1)(
        params, model, *arrays
    )
    for precision in ("float", "double"):
        oracle = getattr(theirs, precision)()
        hf_loss, hf_found, hf_gradients = hf_outputs(oracle, *arrays[:2])
        assert abs(loss - hf_loss) / hf_loss <= 1e-5
        for name, expected in hf_found.items():
            assert error(outputs[name], expected) <= 1e-5, name
        check_gradients(gradients, siglip_pair.translate(hf_gradients))
