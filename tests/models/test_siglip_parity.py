"""SigLIP's towers with the weights of HF's SiglipModel compute what that computes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import unflatten_dict

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


@functools.cache
def weights():
    """The oracle and its weights as our parameters."""
    theirs = siglip_pair.hf_model()
    arrays = {k: p.detach().numpy().copy() for k, p in theirs.named_parameters()}
    return theirs, unflatten_dict(siglip_pair.translate(arrays), sep="/")


@pytest.mark.parametrize("scan", [False, True])
def test_equals_hf_siglip(scan):
    theirs, params = weights()
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


def encode_text(model, ids, mask=None):
    encode = jax.jit(functools.partial(model.apply, method="encode_text"))
    return encode({"params": weights()[1]}, ids, mask)


def test_padding_is_seen():
    """With and without its mask; a tower that pools elsewhere does not see it."""
    ids, mask = siglip_pair.captions()
    model = siglip_pair.our_model()
    changed = np.where(mask, ids, 7)
    expected = encode_text(model, ids)
    np.testing.assert_array_equal(encode_text(model, ids, mask), expected)
    assert error(encode_text(model, changed, mask), expected) > 0.01

    masking = model.clone(text=model.text.clone(pool="first_eos"))
    np.testing.assert_allclose(
        encode_text(masking, changed, mask), encode_text(masking, ids, mask), atol=1e-6
    )


def test_every_token_sees_every_other():
    """The first position changes with a later one, which it cannot if causal."""
    ids, _ = siglip_pair.captions()
    changed = ids.copy()
    changed[:, 8] = 5
    first = dict(pool="first_eos", eos_id=99)  # is nowhere: position 0
    model = siglip_pair.our_model()
    model = model.clone(text=model.text.clone(**first))
    assert error(encode_text(model, changed), encode_text(model, ids)) > 0.01
    model = model.clone(text=model.text.clone(causal=True))
    np.testing.assert_array_equal(encode_text(model, changed), encode_text(model, ids))


def test_it_starts_as_the_paper_says():
    model = siglip_pair.our_model()
    arrays = pictures(), *siglip_pair.captions()
    params = jax.jit(model.init)(jax.random.key(0), *arrays)["params"]
    assert np.exp(params["logit_scale"]) == pytest.approx(10)
    assert params["logit_bias"] == -10
