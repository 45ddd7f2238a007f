"""The objectives on the softmax core: options, formulas, and how they choose."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.objectives.pairs import (
    error,
    random_pairs,
    softmax_reference,
    some_keys,
    some_valid,
)
from tests.parallel.meshes import make_mesh
from vlp_jax.core.errors import ConfigError
from vlp_jax.core.types import Need
from vlp_jax.objectives.contrastive import Contrastive, NTXent

BATCH = 16


def term(objective, valid=None, scale=2.0):
    """(total, count, gradients of the embeddings) on some pairs."""
    image, text = random_pairs(BATCH, 8)
    valid = np.ones(BATCH, bool) if valid is None else valid
    known = {"logit_scale": np.float32(scale), "valid": valid}
    known["sample_id"] = some_keys(BATCH)

    @jax.jit
    def function(image, text):
        arrays = known | {"image_embedding": image, "text_embedding": text}
        outputs = {need: jnp.asarray(arrays[need.name]) for need in objective.needs}
        found = objective(outputs, jnp.int32(0), objective.initial_state())
        return found.total, found.count

    (total, count), gradients = jax.value_and_grad(function, (0, 1), has_aux=True)(
        image, text
    )
    return total, count, gradients


@pytest.mark.parametrize("implementation", ["dense", "gather", "ring", "auto"])
def test_every_implementation_is_the_same_loss(implementation):
    image, text = random_pairs(BATCH, 8)
    valid = some_valid(BATCH)
    objective = Contrastive(make_mesh(2, 2), implementation=implementation, tile_size=3)
    total, count, gradients = term(objective, valid)
    expected = softmax_reference(image, text, 2.0, valid)
    assert error(total, expected[0]) <= 1e-5 and count == valid.sum()
    for found, wanted in zip(gradients, expected[1:3], strict=True):
        assert error(found, wanted) <= 1e-5


def test_options():
    image, text = random_pairs(BATCH, 8)
    everyone, mesh = np.ones(BATCH, bool), make_mesh(4, 1)
    fixed, *_ = term(Contrastive(mesh, temperature=0.05), scale=1.0)
    assert error(fixed, softmax_reference(image, text, np.log(20), everyone)[0]) <= 1e-5
    one, *_ = term(Contrastive(mesh, direction="image_to_text"))
    weights = (1.0, 0.0)
    expected = softmax_reference(image, text, 2.0, everyone, weights=weights)[0]
    assert error(one, expected) <= 1e-5
    masked, *_ = term(Contrastive(mesh, mask_duplicates=True))
    expected = softmax_reference(image, text, 2.0, everyone, some_keys(BATCH))[0]
    assert error(masked, expected) <= 1e-5


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"direction": "up"}, "unknown contrastive direction 'up'"),
        ({"implementation": "rign"}, "did you mean 'ring'"),
        ({"temperature": 0.0}, "temperature is 0.0; expected at least 0.0001"),
        ({"tile_size": 0}, "tile_size is 0"),
    ],
)
def test_wrong_options_are_explained(options, said):
    with pytest.raises(ConfigError, match=said):
        Contrastive(make_mesh(1, 1), **options)


def test_nt_xent_is_simclrs_formula():
    """-log(exp(s z.z') / sum over the other 2B - 1 views of exp(s z.v)), summed."""
    first, second = (x.astype(np.float64) for x in random_pairs(BATCH, 8))
    views = np.concatenate([first, second])
    similarity = np.exp(views @ views.T / 0.5)
    np.fill_diagonal(similarity, 0)
    partner = np.roll(np.arange(2 * BATCH), BATCH)
    right = similarity[np.arange(2 * BATCH), partner]
    expected = -np.log(right / similarity.sum(1)).sum()
    for sizes in [(1, 1), (2, 4)]:
        for implementation in ("dense", "gather", "ring"):
            objective = NTXent(make_mesh(*sizes), 0.5, implementation, tile_size=5)
            total, count, gradients = term(objective)
            assert error(total, expected) <= 1e-6 and count == 2 * BATCH
            assert np.asarray(gradients[0]).any() and np.asarray(gradients[1]).any()


def test_nt_xent_leaves_out_what_only_fills_up():
    valid = some_valid(BATCH)
    first, second = (x[valid].astype(np.float64) for x in random_pairs(BATCH, 8))
    views = np.concatenate([first, second])
    logits = np.exp(2.0) * views @ views.T
    np.fill_diagonal(logits, -np.inf)
    right = logits[np.arange(len(views)), np.roll(np.arange(len(views)), len(first))]
    expected = (np.logaddexp.reduce(logits, axis=1) - right).sum()
    total, count, _ = term(NTXent(make_mesh(4, 1)), valid)
    assert error(total, expected) <= 1e-5 and count == len(views)


def test_the_choice_says_why():
    eight = make_mesh(4, 2)
    objective = Contrastive(eight)
    assert (
        objective.describe(8 * 2048) == "ring (2,048 pairs a device hide the exchange)"
    )
    assert Contrastive(eight, implementation="dense").describe(8) == (
        "dense (as configured)"
    )
    assert Need("sample_id") not in objective.needs
    views = NTXent(eight)
    assert views.describe(8 * 1024).startswith("ring")  # of 2B rows


def test_duality_and_the_sum_with_it_are_weights_of_the_same_loss():
    """ "ViLD as duality" adds both directions at a fixed temperature; with CLIP's own
    mean of the two beside it the gradient is three times CLIP's."""
    mesh, settings = make_mesh(2, 2), dict(temperature=0.07)
    both = term(Contrastive(mesh, **settings))
    ways = ("image_to_text", "text_to_image")
    each = [term(Contrastive(mesh, direction=way, **settings)) for way in ways]
    duality = jax.tree.map(lambda *x: sum(x), *((one[0], one[2]) for one in each))
    joint = jax.tree.map(lambda *x: sum(x), duality, (both[0], both[2]))
    for factor, found in ((2, duality), (3, joint)):
        expected = jax.tree.map(lambda x, k=factor: k * x, (both[0], both[2]))
        for one, other in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
            assert error(one, other) <= 1e-6
