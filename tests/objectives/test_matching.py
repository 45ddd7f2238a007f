"""Matching: the loss by hand, its negatives and their gradients on every mesh."""

import inspect
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chisquare

from tests.objectives.pairs import error, random_pairs, some_keys, some_valid
from tests.parallel.meshes import make_mesh
from vlp_jax.core.errors import ConfigError
from vlp_jax.objectives.hard_negatives import dense_negatives
from vlp_jax.objectives.matching import Matching, matching_accuracy, matching_loss
from vlp_jax.parallel.sharding import place_batch

BATCH = 16
KEY = jax.random.key(5)
KINDS = ("device", "global", "random")
LOGITS = np.array(
    [
        [[0.0, 2.0], [1.0, 0.0], [0.0, 3.0]],
        [[1.0, 1.0], [2.0, 0.0], [0.0, 0.0]],
        [[9.0, 0.0], [9.0, 0.0], [0.0, 9.0]],
    ],
    np.float32,
)
COUNTS = np.array([[1, 1, 1], [1, 1, 0], [0, 0, 0]], bool)


def arrays(batch=BATCH):
    rng = np.random.default_rng(4)
    image, text = random_pairs(batch, 8)
    return {
        "image": rng.integers(0, 255, (batch, 2, 2, 3)).astype(np.uint8),
        "text_tokens": rng.integers(0, 99, (batch, 5)).astype(np.int32),
        "text_mask": rng.random((batch, 5)) < 0.7,
        "valid": some_valid(batch),
        "sample_id": some_keys(batch),
        "image_embedding": image,
        "text_embedding": text,
        "logit_scale": np.float32(1.5),
        "image_tokens": rng.normal(size=(batch, 4, 3)).astype(np.float32),
        "text_states": rng.normal(size=(batch, 5, 3)).astype(np.float32),
    }


def resolved(objective, name, known, key=KEY):
    """A derived value from what is known, by the names of its parameters."""
    if name in known:
        return jnp.asarray(known[name])
    if name == "key":
        return key
    function = objective.derived[name]
    names = inspect.signature(function).parameters
    return function(*(resolved(objective, x, known, key) for x in names))


def placed(known, mesh):
    rows = {k: v for k, v in known.items() if np.ndim(v)}
    return known | place_batch(rows, mesh)


def test_loss_by_hand():
    """Row 0: ln(1 + e^-2), ln(1 + e^-1), ln(1 + e^3); row 1: ln 2, ln(1 + e^-2)."""
    total, count = jax.jit(matching_loss)(LOGITS, COUNTS)
    expected = 0.126928 + 0.313262 + 3.048587 + math.log(2) + 0.126928
    np.testing.assert_allclose(total, expected, rtol=1e-6)
    assert count == 5


def test_accuracy_by_hand():
    """Right: both of row 1 but the pair, which is a tie; of row 0 all but the last."""
    found = jax.jit(matching_accuracy)(LOGITS, COUNTS)
    np.testing.assert_allclose(found["accuracy"], 3 / 5)
    np.testing.assert_allclose(found["accuracy_positive"], 1 / 2)
    np.testing.assert_allclose(found["accuracy_negative"], 2 / 3)
    nothing = jax.jit(matching_accuracy)(LOGITS, np.zeros_like(COUNTS))
    assert set(map(float, nothing.values())) == {0.0}


def test_only_valid_rows_and_negatives_that_exist_count():
    objective = Matching(make_mesh(1, 1))
    has_negatives = np.array([[True, True], [True, False], [True, True]])
    given = LOGITS, np.array([True, True, False]), has_negatives
    outputs = {n: jnp.asarray(x) for n, x in zip(objective.needs, given, strict=True)}
    term = objective(outputs, jnp.int32(0), ())
    expected, count = jax.jit(matching_loss)(LOGITS, COUNTS)
    np.testing.assert_allclose((term.total, term.count), (expected, count), 1e-6)
    assert term.metrics.keys() == {"accuracy", "accuracy_positive", "accuracy_negative"}
    assert objective.initial_state() == term.state == ()


def test_a_model_may_judge_two_pairs():
    """The pair, and its text with another picture: as if the third did not count."""
    objective = Matching(make_mesh(1, 1), "random")
    valid = np.array([True, True, False])
    has_negatives = np.array([[True, True], [True, False], [True, True]])
    given = LOGITS[:, [0, 2]], valid, has_negatives
    outputs = {n: jnp.asarray(x) for n, x in zip(objective.needs, given, strict=True)}
    term = objective(outputs, jnp.int32(0), ())
    expected = 0.126928 + 3.048587 + math.log(2)
    np.testing.assert_allclose((term.total, term.count), (expected, 3), 1e-6)
    accuracy = [float(x) for x in term.metrics.values()]
    np.testing.assert_allclose(accuracy, [1 / 3, 1 / 2, 0])


@pytest.mark.parametrize("sizes", [(1, 1), (8, 1), (2, 2, 2)], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_negatives_are_the_rows_of_their_index(kind, sizes):
    mesh, known = make_mesh(*sizes), arrays()
    objective = Matching(mesh, kind, tile_size=3)

    @jax.jit
    def negatives(known):
        return {name: resolved(objective, name, known) for name in objective.derived}

    found = jax.tree.map(np.asarray, negatives(placed(known, mesh)))
    images, texts = found["negative_index"]
    numbers = np.arange(BATCH)
    for name, index in [
        ("image", images),
        ("image_tokens", images),
        ("text_tokens", texts),
        ("text_mask", texts),
        ("text_states", texts),
    ]:
        rows = found[f"negative_{name}"]
        assert rows.dtype == known[name].dtype
        np.testing.assert_array_equal(rows, known[name][index])
    exists = np.stack([texts != numbers, images != numbers], 1)
    np.testing.assert_array_equal(found["has_negatives"], exists)
    for index in (images, texts):
        drawn = index != numbers
        assert drawn.any()
        assert known["valid"][index[drawn]].all() and known["valid"][drawn].all()
        ids = known["sample_id"]
        assert (ids[index[drawn]] != ids[drawn]).all()
    if kind == "global":
        names = "image_embedding", "text_embedding", "logit_scale", "valid", "sample_id"
        dense = jax.jit(dense_negatives)(*(known[x] for x in names), KEY)
        jax.tree.map(np.testing.assert_array_equal, found["negative_index"], dense)


def test_random_negatives_are_all_as_likely():
    known = arrays(8)
    objective = Matching(make_mesh(2, 1), "random")
    names = inspect.signature(objective.derived["negative_index"]).parameters
    assert set(names) == {"valid", "sample_id", "key"}
    known = {"valid": np.ones(8, bool), "sample_id": np.arange(8, dtype=np.int32)}
    keys = jax.random.split(KEY, 4000)

    @jax.jit
    def draws(keys):
        return jax.lax.map(
            lambda key: resolved(objective, "negative_index", known, key), keys
        )

    for numbers in draws(keys):
        for row in range(8):
            first = row // 4 * 4
            counts = np.bincount(numbers[:, row], minlength=8)
            others = [i for i in range(first, first + 4) if i != row]
            assert counts[others].sum() == len(keys)
            assert chisquare(counts[others]).pvalue > 1e-3


@pytest.mark.parametrize("sizes", [(1, 1), (8, 1), (2, 2, 2)], ids=str)
@pytest.mark.parametrize("kind", ["device", "global"])
def test_gradients_go_through_the_negatives(kind, sizes):
    """Against the gradient of plain indexing, on one device."""
    mesh, known = make_mesh(*sizes), arrays()
    objective = Matching(mesh, kind)
    inputs = {k: known[k] for k in ("image_tokens", "text_states", "image_embedding")}
    rng = np.random.default_rng(8)
    images, texts = rng.normal(size=(2, BATCH, 5, 3)).astype(np.float32)

    def score(rows):
        tokens, states, mask = rows
        states = jnp.tanh(states * texts) * mask[..., None]
        return (jnp.tanh(tokens * images[:, :4]).sum(1) * states.sum(1)).sum()

    @jax.jit
    def gradients(inputs):
        def total(inputs):
            index = resolved(objective, "negative_index", known | inputs)
            rows = [
                resolved(objective, f"negative_{name}", known | inputs)
                for name in ("image_tokens", "text_states", "text_mask")
            ]
            return score(rows), index

        return jax.grad(total, has_aux=True)(inputs)

    @jax.jit
    def plain(inputs, index):
        tokens = inputs["image_tokens"][index.image_for_text]
        states = inputs["text_states"][index.text_for_image]
        mask = jnp.asarray(known["text_mask"])[index.text_for_image]
        return score((tokens, states, mask))

    found, index = gradients(placed(inputs, mesh))
    expected = jax.grad(plain)(inputs, jax.tree.map(np.asarray, index))
    assert not np.asarray(found["image_embedding"]).any()
    for name in ("image_tokens", "text_states"):
        assert error(found[name], np.float64(expected[name])) <= 1e-6


def test_on_the_device_nothing_is_sent():
    """Neither for the draws nor for the rows and their gradients; 'global' does."""
    mesh, known = make_mesh(8, 1), arrays()

    def compiled(kind):
        objective = Matching(mesh, kind)

        def gradient(known):
            def negatives(tokens):
                arrays = known | {"image_tokens": tokens}
                return resolved(objective, "negative_image_tokens", arrays)

            rows, pull = jax.vjp(negatives, known["image_tokens"])
            return pull(rows)

        return jax.jit(gradient).lower(placed(known, mesh)).compile().as_text()

    sent = ("all-gather", "all-reduce", "collective-permute", "reduce-scatter")
    assert not any(what in compiled("device") for what in sent)
    assert "collective-permute" in compiled("global")


def test_what_cannot_work_is_refused():
    with pytest.raises(ConfigError, match="unknown kind of negatives 'hard'; known"):
        Matching(make_mesh(1, 1), "hard")
    with pytest.raises(ConfigError, match="tile_size is 0"):
        Matching(make_mesh(1, 1), tile_size=0)
    eight = make_mesh(8, 1)
    with pytest.raises(ConfigError, match="on each device, but there is 1 row"):
        Matching(eight).check(8, 100)
    Matching(eight).check(16, 100)
    Matching(eight, "global").check(8, 100)
    with pytest.raises(ConfigError, match="in the batch, but there is 1 row"):
        Matching(make_mesh(1, 1), "global").check(1, 100)
