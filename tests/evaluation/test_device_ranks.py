"""Ranks that devices count equal NumPy's, ties included, on one device and on eight."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vlp_jax.evaluation.device_ranks import (
    _Found,
    _Images,
    _program,
    _Texts,
    retrieval_ranks_on_devices,
)
from vlp_jax.evaluation.metrics.retrieval import (
    image_retrieval_ranks,
    text_retrieval_ranks,
)
from vlp_jax.parallel.mesh import MeshSpec

MESHES = {count: MeshSpec().make(jax.devices()[:count]) for count in (1, 8)}
TILE = (8, 16)


def tied(images: int, texts: int, seed: int = 0, width: int = 3):
    """Embeddings of small integers: scores tie often and are exact in any order."""
    rng = np.random.default_rng(seed)
    return (
        rng.integers(-2, 3, (images, width)).astype(np.float32),
        rng.integers(-2, 3, (texts, width)).astype(np.float32),
        rng.integers(0, images, texts),  # some images have no text
    )


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def assert_ranks_are_numpys(found, given) -> None:
    np.testing.assert_array_equal(found[0], image_retrieval_ranks(*given))
    np.testing.assert_array_equal(found[1], text_retrieval_ranks(*given))


def assert_ranks_but_for_near_ties(found, given) -> None:
    """In float64; scores that float32 cannot tell apart may come in any order."""
    images, texts, text_image = given
    scores = texts.astype(np.float64) @ images.T.astype(np.float64)
    own = text_image[:, None] == np.arange(len(images))
    for ranks, table, mine in zip(found, (scores, scores.T), (own, own.T), strict=True):
        ahead = table - np.where(mine, table, -np.inf).max(axis=1, keepdims=True)
        before = ((ahead > 1e-6) & ~mine).sum(axis=1)
        near = ((np.abs(ahead) <= 1e-6) & ~mine).sum(axis=1)
        assert (before <= ranks).all() and (ranks <= before + near).all()
        assert (near == 0).mean() > 0.9  # there the rank is that one


@pytest.mark.parametrize("devices", MESHES)
@pytest.mark.parametrize(
    ("images", "texts"),
    [(1, 1), (16, 64), (17, 65), (5, 300), (130, 7), (41, 113)],
)
def test_ties_and_ragged_tiles(devices, images, texts):
    for seed in range(3):
        given = tied(images, texts, seed)
        found = retrieval_ranks_on_devices(*given, MESHES[devices], TILE)
        assert_ranks_are_numpys(found, given)


@pytest.mark.parametrize("devices", MESHES)
def test_all_scores_equal_or_below_zero(devices):
    """What fills up a tile scores 0, and must not count."""
    for value in (0.0, 1.0):
        same = np.full((20, 2), value, np.float32)
        given = same, -np.repeat(same, 2, axis=0), np.arange(40) // 2
        found = retrieval_ranks_on_devices(*given, MESHES[devices], TILE)
        assert_ranks_are_numpys(found, given)
        assert found[1].tolist() == list(range(0, 40, 2))


def test_unit_vectors_of_a_model_on_any_number_of_devices():
    """The same on one device and on eight, and right but for near ties."""
    rng = np.random.default_rng(5)
    images = rng.normal(size=(300, 64)).astype(np.float32)
    text_image = rng.permutation(np.arange(1500) // 5)
    texts = images[text_image] + 2 * rng.normal(size=(1500, 64)).astype(np.float32)
    images, texts = (
        x / np.linalg.norm(x, axis=1, keepdims=True) for x in (images, texts)
    )
    images[17] = images[3]  # a copy ties with its original
    given = images, texts, text_image
    one, eight = (
        retrieval_ranks_on_devices(*given, mesh, (64, 128)) for mesh in MESHES.values()
    )
    np.testing.assert_array_equal(one[0], eight[0])
    np.testing.assert_array_equal(one[1], eight[1])
    assert_ranks_but_for_near_ties(one, given)
    of_copy = one[0][text_image == 17]
    assert (of_copy >= 1).all() and (one[0] == 0).sum() > 300


def test_the_shipped_tile_within_a_run_on_another_mesh():
    given = tied(70, 300)
    with jax.set_mesh(MeshSpec(data=2, fsdp=4).make()):
        found = retrieval_ranks_on_devices(*given, MESHES[8])
    assert_ranks_are_numpys(found, given)


def test_memory_does_not_grow_with_the_scores():
    """Temporary memory of the program for ten times as many texts."""
    sizes = {}
    for count in (8 * 128, 8 * 1280):
        program = _program(MESHES[8], 128)
        text, image = jnp.zeros((count, 4)), jnp.zeros((256, 4))
        numbers = [jnp.zeros(n, jnp.int32) for n in (count, 256, 16)]
        compiled = program.lower(
            _Texts(text, numbers[0], numbers[0]),
            _Found(text[:, 0], numbers[0]),
            _Images(image, numbers[1], image[:, 0], numbers[1]),
            numbers[2].reshape(8, 2),
        ).compile()
        sizes[count] = compiled.memory_analysis().temp_size_in_bytes
    assert max(sizes.values()) < 2 * min(sizes.values())
    assert min(sizes.values()) < 20 * 128 * 256 * 4


def test_scores_that_are_not_finite_are_refused():
    images, texts, owners = tied(4, 6)
    texts[2, 0] = np.nan
    with pytest.raises(ValueError, match="1 of 6 rows hold NaN"):
        retrieval_ranks_on_devices(images, texts, owners, MESHES[1])
