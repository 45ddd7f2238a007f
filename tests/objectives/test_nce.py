"""Sampled negatives: the formulas in numpy, the draws, and every mesh alike."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.objectives.pairs import error, random_pairs, softmax_reference, some_valid
from tests.parallel.meshes import make_mesh
from vlp_jax.core.errors import ConfigError
from vlp_jax.objectives.nce import BinaryNCE, InfoNCE, binary_nce, draw, info_nce

BATCH = 16


def logits(rows=5, count=3):
    rng = np.random.default_rng(0)
    return rng.normal(size=rows) * 4, rng.normal(size=(rows, count)) * 4


def test_info_nce_is_its_formula():
    right, wrong = logits()
    expected = -np.log(np.exp(right) / (np.exp(right) + np.exp(wrong).sum(1)))
    found = info_nce(*map(jnp.float32, (right, wrong, right, wrong)))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_binary_nce_is_its_formula():
    """P(right | u) = exp(u) / (exp(u) + K P(u)), as in Mnih and Teh, equation 6."""
    right, wrong = logits()
    noise = np.random.default_rng(1).uniform(0.1, 0.9, size=(5, 4))
    of_right = np.exp(right) / (np.exp(right) + 3 * noise[:, 0])
    of_wrong = np.exp(wrong) / (np.exp(wrong) + 3 * noise[:, 1:])
    expected = -np.log(of_right) - np.log(1 - of_wrong).sum(1)
    noise = np.log(noise)
    found = binary_nce(*map(jnp.float32, (right, wrong, noise[:, 0], noise[:, 1:])))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def total(objective, valid=None, step=0, seed=0):
    image, text = random_pairs(BATCH, 8, seed=seed)
    known = {
        "image_embedding": image,
        "text_embedding": text,
        "logit_scale": np.float32(1.5),
        "valid": np.ones(BATCH, bool) if valid is None else valid,
        "sample_id": np.arange(BATCH)[::-1].copy(),
    }

    @jax.jit
    def function(step, image, text):
        arrays = known | {"image_embedding": image, "text_embedding": text}
        outputs = {need: jnp.asarray(arrays[need.name]) for need in objective.needs}
        return objective(outputs, step, ()).total

    value, gradients = jax.value_and_grad(function, (1, 2))(
        jnp.int32(step), image, text
    )
    return value, gradients


@pytest.mark.parametrize("sizes", [(1, 1), (8, 1), (2, 4)], ids=str)
def test_all_others_as_negatives_is_a_row_of_the_softmax_loss(sizes):
    image, text = random_pairs(BATCH, 8)
    everyone = np.ones(BATCH, bool)
    value, gradients = total(InfoNCE(make_mesh(*sizes), negatives=BATCH - 1))
    expected = softmax_reference(image, text, 1.5, everyone, weights=(1.0, 0.0))
    assert error(value, expected[0]) <= 1e-5
    for found, wanted in zip(gradients, expected[1:3], strict=True):
        assert error(found, wanted) <= 1e-5


def test_rows_that_fill_up_are_never_drawn():
    valid = some_valid(BATCH)
    image, text = random_pairs(BATCH, 8)
    expected = softmax_reference(image, text, 1.5, valid, weights=(1.0, 0.0))[0]
    value, (of_image, of_text) = total(InfoNCE(make_mesh(4, 1), BATCH - 1), valid)
    assert error(value, expected) <= 1e-5
    assert not np.asarray(of_image)[~valid].any()
    assert not np.asarray(of_text)[~valid].any()


@pytest.mark.parametrize("kind", [InfoNCE, BinaryNCE])
def test_draws_depend_on_seed_and_step_but_not_on_the_mesh(kind):
    alone = total(kind(make_mesh(1, 1), 4))
    shared = total(kind(make_mesh(2, 4), 4))
    assert error(shared[0], np.float64(alone[0])) <= 1e-6
    for a, b in zip(alone[1], shared[1], strict=True):
        assert error(b, np.float64(a)) <= 1e-5
    assert total(kind(make_mesh(1, 1), 4), step=1)[0] != alone[0]
    assert total(kind(make_mesh(1, 1), 4, seed=1))[0] != alone[0]


def test_draws_without_replacement_are_different_columns():
    log_noise = jnp.log(jnp.tile(jnp.array([0.0, 0.1, 0.2, 0.7]), (50, 1)))
    found = np.asarray(draw(jax.random.key(0), jnp.arange(50), log_noise, 3, False))
    assert (np.sort(found, axis=1) == [1, 2, 3]).all()  # never the impossible one


@pytest.mark.parametrize("replace", [False, True])
def test_draws_follow_the_noise(replace):
    share = np.array([0.1, 0.2, 0.7])
    rows = 20_000
    log_noise = jnp.log(jnp.tile(jnp.asarray(share), (rows, 1)))
    found = draw(jax.random.key(3), jnp.arange(rows), log_noise, 1, replace)
    counts = np.bincount(np.asarray(found).ravel(), minlength=3)
    chi_square = ((counts - rows * share) ** 2 / (rows * share)).sum()
    assert chi_square < 13.8  # p = 0.001 at two degrees of freedom


def test_a_bank_and_its_noise(tmp_path):
    """Two bank entries, of which the noise allows hardly any but the second."""
    bank = np.random.default_rng(0).normal(size=(2, 8)).astype(np.float32)
    np.save(tmp_path / "bank.npy", 3 * bank)  # its length does not matter
    np.save(tmp_path / "noise.npy", np.array([1e-30, 1.0], np.float32))
    options = {"bank": str(tmp_path / "bank.npy"), "noise": str(tmp_path / "noise.npy")}
    value, _ = total(InfoNCE(make_mesh(4, 1), 1, **options))
    image, text = (x.astype(np.float64) for x in random_pairs(BATCH, 8))
    second = bank[1] / np.linalg.norm(bank[1])
    right, wrong = ((image * x).sum(1) * np.exp(1.5) for x in (text, second))
    assert error(value, np.logaddexp(0, wrong - right).sum()) <= 1e-5


def test_noise_over_the_samples_of_the_data_set(tmp_path):
    """The weights say that the samples of rows 4 and 9 are the only ones to draw."""
    weights = np.full(BATCH, 1e-30, np.float32)
    weights[BATCH - 1 - 4] = weights[BATCH - 1 - 9] = 1.0  # sample_id counts down
    np.save(tmp_path / "noise.npy", weights)
    objective = InfoNCE(make_mesh(2, 1), 1, noise=str(tmp_path / "noise.npy"))
    image, _ = random_pairs(BATCH, 8)
    expected = [total(objective, step=s)[1][1] for s in range(3)]
    others = np.delete(np.arange(BATCH), [4, 9])
    for gradient in expected:  # others move along their own image alone
        cosine = (np.asarray(gradient) * image).sum(1)
        np.testing.assert_allclose(
            np.abs(cosine[others]),
            np.linalg.norm(gradient, axis=1)[others],
            rtol=1e-4,
        )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"negatives": 0}, "negatives is 0; expected at least 1"),
        ({"bank": "nowhere.npy"}, "bank nowhere.npy: no such file"),
        ({"temperature": -1.0}, "temperature is -1.0"),
    ],
)
def test_wrong_options_are_explained(options, said):
    with pytest.raises(ConfigError, match=said):
        InfoNCE(make_mesh(1, 1), **options)


def test_wrong_files_are_explained(tmp_path):
    mesh, path = make_mesh(1, 1), str(tmp_path / "x.npy")
    np.save(path, np.zeros(3))
    with pytest.raises(ConfigError, match=r"bank .* has shape \(3,\)"):
        InfoNCE(mesh, bank=path)
    with pytest.raises(ConfigError, match="expected finite weights above 0"):
        InfoNCE(mesh, noise=path)
    np.save(path, np.array([object()]), allow_pickle=True)
    with pytest.raises(ConfigError, match="expected a .npy file"):
        InfoNCE(mesh, bank=path)
    (tmp_path / "x.npy").write_bytes(b"")
    with pytest.raises(ConfigError, match="expected a .npy file"):
        InfoNCE(mesh, bank=path)
    np.savez(tmp_path / "x.npz", bank=np.ones((3, 4)))
    with pytest.raises(ConfigError, match="expected a .npy file"):
        InfoNCE(mesh, bank=str(tmp_path / "x.npz"))
    np.save(path, np.ones((3, 4)))
    with pytest.raises(ConfigError, match="width 4; the model's embedding_size is 8"):
        total(InfoNCE(mesh, 1, bank=path))


def test_runs_that_it_cannot_draw_from_are_refused(tmp_path):
    mesh, path = make_mesh(1, 1), str(tmp_path / "noise.npy")
    with pytest.raises(ConfigError, match="negatives is 16; expected 1 to 15"):
        InfoNCE(mesh, BATCH).check(BATCH, 1000)
    np.save(path, np.ones(10))
    with pytest.raises(ConfigError, match="10 weights, but there are 1000 samples"):
        InfoNCE(mesh, 2, noise=path).check(BATCH, 1000)
    InfoNCE(mesh, 2, noise=path).check(BATCH, 10)
    np.save(tmp_path / "bank.npy", np.ones((7, 8)))
    with pytest.raises(ConfigError, match="10 weights, but there are 7 rows"):
        InfoNCE(mesh, 2, bank=str(tmp_path / "bank.npy"), noise=path)


@pytest.mark.parametrize("kind", [InfoNCE, BinaryNCE])
def test_where_nothing_can_be_drawn_there_is_no_loss(kind):
    only = np.arange(BATCH) == 3
    value, gradients = total(kind(make_mesh(2, 1), 2), only)
    assert value == 0
    assert not any(np.asarray(x).any() for x in gradients)
