"""Hard negatives: who may be drawn, how often, and every mesh and tile alike."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import chi2_contingency, chisquare

from tests.objectives.pairs import random_pairs, some_keys, some_valid
from tests.parallel.meshes import make_mesh
from vlp_jax.objectives.hard_negatives import (
    dense_negatives,
    device_negatives,
    pair_noise,
    tiled_negatives,
)
from vlp_jax.objectives.sweep import SWEEPS
from vlp_jax.parallel.sharding import place_batch

BATCH, SCALE, DRAWS = 24, np.float32(1.5), 20_000
KEY = jax.random.key(3)
MESHES = [(1, 1), (2, 1), (8, 1), (2, 2, 2)]


def inputs(batch=BATCH):
    image, text = random_pairs(batch, 8)
    return image, text, SCALE, some_valid(batch), some_keys(batch)


def allowed_pairs(valid, sample_id):
    return valid[:, None] & valid & (sample_id[:, None] != sample_id)


def reference(block, key=KEY):
    """(picture for each text, text for each picture) among blocks of rows, in numpy."""
    image, text, scale, valid, sample_id = inputs()
    numbers = np.arange(BATCH)
    allowed = allowed_pairs(valid, sample_id)
    allowed &= numbers[:, None] // block == numbers // block
    logits = np.where(allowed, np.exp(scale) * image @ text.T, -np.inf)
    of_image, of_text = map(np.asarray, jax.jit(pair_noise)(key, numbers, numbers))
    texts, images = (logits + of_image).argmax(1), (logits + of_text).argmax(0)
    return (
        np.where(allowed.any(0), images, numbers),
        np.where(allowed.any(1), texts, numbers),
    )


@functools.cache
def many_draws():
    """(the inputs of six rows, draws [DRAWS, 6] for both directions).

    Rows 1 and 4 are of one sample, row 5 only fills up the batch.
    """
    image, text = random_pairs(6, 8)
    valid = np.arange(6) != 5
    known = image, text, SCALE, valid, np.array([0, 1, 2, 3, 1, 5], np.int32)
    keys = jax.random.split(jax.random.key(7), DRAWS)
    found = jax.jit(
        jax.vmap(lambda key: dense_negatives(*map(jnp.asarray, known), key))
    )(keys)
    return known, jax.tree.map(np.asarray, found)


def test_neither_itself_nor_its_sample_nor_a_row_that_fills_up_is_drawn():
    (*_, valid, sample_id), found = many_draws()
    for numbers in found:
        for row in range(5):
            drawn = set(np.unique(numbers[:, row]))
            assert drawn == set(np.flatnonzero(valid & (sample_id != sample_id[row])))
        assert (numbers[:, 5] == 5).all()  # itself: it has no negative


def test_draws_are_as_frequent_as_the_softmax_says():
    (image, text, scale, valid, sample_id), found = many_draws()
    logits = np.exp(np.float64(scale)) * image @ text.T.astype(np.float64)
    for numbers, of_rows in zip(found, (logits.T, logits), strict=True):
        for row in range(5):
            may = np.flatnonzero(valid & (sample_id != sample_id[row]))
            counts = np.bincount(numbers[:, row], minlength=6)[may]
            share = softmax(of_rows[row, may])
            assert chisquare(counts, DRAWS * share).pvalue > 1e-3
            cooler = softmax(0.8 * of_rows[row, may])  # a wrong scale is noticed
            assert chisquare(counts, DRAWS * cooler).pvalue < 1e-3


def test_draws_are_independent_of_each_other():
    _, (images, texts) = many_draws()
    for one, other in [
        (texts[:, 0], images[:, 0]),
        (texts[:, 0], texts[:, 1]),
        (images[:, 2], images[:, 3]),
        (texts[:, 2], images[:, 3]),
    ]:
        table = np.zeros((6, 6))
        np.add.at(table, (one, other), 1)
        table = table[table.any(1)][:, table.any(0)]
        assert chi2_contingency(table).pvalue > 1e-3


@pytest.mark.parametrize("sizes", MESHES, ids=str)
@pytest.mark.parametrize("way", SWEEPS)
def test_tiles_draw_what_the_whole_matrix_draws(way, sizes):
    """24 rows; 5 does not divide them, 1000 is more than there are."""
    mesh = make_mesh(*sizes)
    dense = jax.jit(dense_negatives)(*inputs(), KEY)
    for found, expected in zip(dense, reference(BATCH), strict=True):
        np.testing.assert_array_equal(found, expected)
    image, text, scale, *rest = inputs()
    image, text, *rest = place_batch((image, text, *rest), mesh)
    for tile_size in (5, 1000):
        sweep = functools.partial(SWEEPS[way], tile_size=tile_size)
        found = jax.jit(tiled_negatives(mesh, sweep))(image, text, scale, *rest, KEY)
        jax.tree.map(np.testing.assert_array_equal, found, dense)


@pytest.mark.parametrize("sizes", MESHES, ids=str)
def test_on_a_device_only_its_own_rows_are_drawn(sizes):
    mesh = make_mesh(*sizes)
    rows = BATCH // (sizes[0] * sizes[1])
    found = jax.jit(device_negatives(mesh))(*inputs(), KEY)
    for numbers, expected in zip(found, reference(rows), strict=True):
        np.testing.assert_array_equal(numbers, expected)
        np.testing.assert_array_equal(numbers // rows, np.arange(BATCH) // rows)


def test_a_row_without_a_partner_gets_itself():
    image, text, scale, valid, _ = inputs()
    mesh = make_mesh(4, 1)
    sweep = functools.partial(SWEEPS["gather"], tile_size=5)
    ways = dense_negatives, device_negatives(mesh), tiled_negatives(mesh, sweep)
    alone, everyone = np.arange(BATCH) == 3, np.ones(BATCH, bool)
    numbers = np.arange(BATCH)
    for way in map(jax.jit, ways):
        for who, ids in ((alone, numbers), (everyone, np.zeros(BATCH, np.int32))):
            for found in way(image, text, scale, who, ids, KEY):
                np.testing.assert_array_equal(found, numbers)


def test_another_key_is_another_draw():
    one, again, other = (
        jax.jit(dense_negatives)(*inputs(), jax.random.key(seed)) for seed in (1, 1, 2)
    )
    jax.tree.map(np.testing.assert_array_equal, one, again)
    assert (one.text_for_image != other.text_for_image).sum() > BATCH / 4


def test_nothing_has_a_gradient():
    image, text, scale, *rest = inputs()
    mesh = make_mesh(2, 1)
    sweep = functools.partial(SWEEPS["ring"], tile_size=5)
    for way in (device_negatives(mesh), tiled_negatives(mesh, sweep)):

        def total(image, scale, way=way):
            drawn = way(image, text, scale, *rest, KEY).text_for_image
            return image[drawn].sum(), drawn

        of_inputs, drawn = jax.jit(jax.grad(total, (0, 1), has_aux=True))(image, scale)
        counts = np.bincount(drawn, minlength=BATCH)
        np.testing.assert_array_equal(of_inputs[0], np.tile(counts[:, None], 8))
        assert of_inputs[1] == 0


def test_noise_is_finite_and_gumbels():
    rows = jnp.arange(400)
    for noise in pair_noise(jax.random.key(0), rows, rows):
        noise = np.asarray(noise, np.float64).ravel()
        assert np.isfinite(noise).all()
        uniform = np.exp(-np.exp(-noise))
        counts = np.histogram(uniform, 20, (0, 1))[0]
        assert chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize("way", SWEEPS)
def test_memory_grows_with_the_tile_and_not_with_the_batch_squared(way):
    batch, tile_size = 4096, 64
    mesh = make_mesh(8, 1)
    sweep = functools.partial(SWEEPS[way], tile_size=tile_size)
    image, text, scale, *rest = inputs(batch)
    image, text, *rest = place_batch((image, text, *rest), mesh)
    function = jax.jit(tiled_negatives(mesh, sweep))
    compiled = function.lower(image, text, scale, *rest, KEY).compile()
    whole = batch // 8 * batch * 4
    assert compiled.memory_analysis().temp_size_in_bytes < whole / 4
