"""SigLIP's text tower sees padding and every token; its scalars start as published."""

import functools

import jax
import numpy as np
import pytest

from tests.models import siglip_pair
from tests.models.clip_pair import pictures
from tests.models.comparison import error


def encode_text(model, ids, mask=None):
    encode = jax.jit(functools.partial(model.apply, method="text_embedding"))
    return encode({"params": siglip_pair.weights()[1]}, ids, mask)


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
