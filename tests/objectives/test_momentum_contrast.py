"""Contrast with a momentum queue: formula, gradients and queue on every mesh."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from tests.objectives.pairs import (
    errors,
    random_pairs,
    softmax_reference,
    some_keys,
    some_valid,
)
from tests.parallel.meshes import make_mesh
from vlp_jax.core.errors import ConfigError
from vlp_jax.core.types import Need
from vlp_jax.objectives.momentum_contrast import (
    SAME_ID,
    MomentumContrast,
    enqueue,
    soft_contrast,
)

BATCH, WIDTH, QUEUE = 16, 8, 24
LOGIT_SCALE = np.float32(1.5)


def arrays(seed=0, batch=BATCH):
    image, text = random_pairs(batch, WIDTH, seed=seed)
    slow_image, slow_text = random_pairs(batch, WIDTH, likeness=0.8, seed=seed + 50)
    return {
        Need("image_embedding"): image,
        Need("text_embedding"): text,
        Need("image_embedding", parameters="momentum"): slow_image,
        Need("text_embedding", parameters="momentum"): slow_text,
        Need("logit_scale"): LOGIT_SCALE,
        Need("valid"): some_valid(batch),
        Need("sample_id"): some_keys(batch),
    }


LIVE = [Need("image_embedding"), Need("text_embedding"), Need("logit_scale")]


def some_queue():
    """A queue of which five places are empty and some hold samples of the batch."""
    image, text = random_pairs(QUEUE, WIDTH, seed=9)
    ids = np.arange(100, 100 + QUEUE, dtype=np.int32)
    ids[[0, 3, 7]] = 3, 3, 5
    ids[19:] = -1
    image[19:], text[19:] = 0, 0
    pointer = np.int32(19)
    return {"image_queue": image, "text_queue": text, "ids": ids, "pointer": pointer}


def reference(outputs, queue, share, same_id):
    """(total, gradients of image, text and log scale) in float64."""
    wide = [np.asarray(x, np.float64) for x in list(outputs.values())[:5]]
    image, text, slow_image, slow_text, logit_scale = wide
    valid, ids = outputs[Need("valid")], outputs[Need("sample_id")]
    scale = np.exp(logit_scale)
    columns = np.concatenate([np.where(valid, ids, -1), queue["ids"]])
    own = np.eye(len(ids), len(columns), dtype=bool)
    same = ids[:, None] == columns
    allowed = np.broadcast_to(columns != -1, own.shape)
    right = own
    if same_id == "mask":
        allowed = allowed & (own | ~same)
    if same_id == "positive":
        right = allowed & same
    right = right / np.maximum(right.sum(1, keepdims=True), 1)
    total, gradients, of_scale = 0.0, [], 0.0
    for live, slow, others, waiting in (
        (image, slow_image, slow_text, queue["text_queue"]),
        (text, slow_text, slow_image, queue["image_queue"]),
    ):
        others = np.concatenate([others, waiting])
        logits = np.where(allowed, scale * live @ others.T, -1e30)
        soft = softmax(np.where(allowed, scale * slow @ others.T, -1e30), axis=1)
        target = share * soft + (1 - share) * right
        slope = valid[:, None] / 2 * (softmax(logits, axis=1) - target)
        total -= (valid[:, None] / 2 * target * log_softmax(logits, axis=1)).sum()
        gradients.append(scale * slope @ others)
        of_scale += (slope * logits)[allowed].sum()
    return total, *gradients, of_scale


@functools.cache
def compiled(objective):
    """(outputs, step, state) -> (total, count, metrics, state, gradients of LIVE)."""

    def run(outputs, step, state):
        def total(live):
            term = objective(outputs | live, step, state)
            return term.total, (term.count, term.metrics, term.state)

        live = {need: outputs[need] for need in LIVE}
        (value, rest), gradients = jax.value_and_grad(total, has_aux=True)(live)
        return value, *rest, [gradients[need] for need in LIVE]

    return jax.jit(run)


def found(objective, outputs, state, step=0):
    outputs = jax.tree.map(jnp.asarray, outputs)
    return compiled(objective)(outputs, jnp.int32(step), state)


def test_soft_targets_by_hand():
    """Two columns and a masked one; s = 2, a = 0.4.

    Momentum logits 1 and 0: softmax = 0.731059, 0.268941, so the targets are
    0.6 + 0.4 * 0.731059 = 0.892423 and 0.107577. Logits 0 and 1: -log p = 1.313262
    and 0.313262, and the loss is 1.205685.
    """
    loss = jax.jit(soft_contrast)(
        jnp.array([[0.0, 0.5, 0.9]]),
        jnp.array([[0.5, 0.0, 0.9]]),
        jnp.float32(2.0),
        jnp.float32(0.4),
        jnp.array([[True, True, False]]),
        jnp.array([[True, False, False]]),
    )
    np.testing.assert_allclose(loss, [0.892423 * 1.313262 + 0.107577 * 0.313262], 1e-5)


@pytest.mark.parametrize("sizes", [(1, 1), (8, 1), (2, 2, 2)], ids=str)
@pytest.mark.parametrize("same_id", SAME_ID)
def test_value_and_gradients_are_the_definitions(same_id, sizes):
    objective = MomentumContrast(make_mesh(*sizes), WIDTH, QUEUE, same_id=same_id)
    outputs, state = arrays(), some_queue()
    value, count, metrics, _, gradients = found(objective, outputs, state)
    expected = reference(outputs, state, 0.4, same_id)
    assert max(errors((value, gradients), expected)) <= 1e-5
    assert count == outputs[Need("valid")].sum()
    np.testing.assert_allclose(metrics["scale"], np.exp(LOGIT_SCALE), rtol=1e-6)
    np.testing.assert_allclose(metrics["queue_filled"], 19 / 24, rtol=1e-6)


def test_the_three_treatments_of_the_same_id_differ():
    totals = {reference(arrays(), some_queue(), 0.4, way)[0] for way in SAME_ID}
    assert len(totals) == 3


def test_an_empty_queue_is_no_queue():
    mesh = make_mesh(4, 1)
    without = found(MomentumContrast(mesh, WIDTH, queue_size=0), arrays(), ())
    objective = MomentumContrast(mesh, WIDTH, QUEUE)
    fresh = found(objective, arrays(), objective.initial_state())
    assert without[3] == () and "queue_filled" not in without[2]
    np.testing.assert_allclose(without[0], fresh[0], rtol=1e-6)
    for a, b in zip(without[4], fresh[4], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_alone_with_itself_it_is_the_softmax_loss():
    """No soft share, no queue, momentum embeddings equal to the live ones."""
    outputs = arrays()
    for need in LIVE[:2]:
        outputs[Need(need.name, parameters="momentum")] = outputs[need]
    objective = MomentumContrast(make_mesh(1, 1), WIDTH, 0, soft_share=0.0)
    value = found(objective, outputs, ())[0]
    inputs = [outputs[Need(n)] for n in ("image_embedding", "text_embedding")]
    keys = some_keys(BATCH)
    expected = softmax_reference(*inputs, LOGIT_SCALE, some_valid(BATCH), keys)[0]
    np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_soft_share_rises_in_a_line():
    steps = [0, 5, 10, 500]
    shares = [0.0, 0.2, 0.4, 0.4]
    objective = MomentumContrast(make_mesh(1, 1), WIDTH, QUEUE, ramp_steps=10)
    for step, share in zip(steps, shares, strict=True):
        value, _, metrics, *_ = found(objective, arrays(), some_queue(), step)
        expected = reference(arrays(), some_queue(), share, "mask")[0]
        np.testing.assert_allclose(value, expected, rtol=1e-5)
        np.testing.assert_allclose(metrics["soft_share"], share, rtol=1e-6)


def test_first_in_first_out_around_the_end():
    queue = jnp.zeros(5)
    step = jax.jit(enqueue)
    for pointer, rows in [(0, [1, 2, 3]), (3, [4, 5, 6]), (1, [7, 8, 9])]:
        queue = step(queue, jnp.asarray(rows, jnp.float32), jnp.int32(pointer))
    np.testing.assert_array_equal(queue, [6, 7, 8, 9, 5])


@pytest.mark.parametrize("size", [16, 24, 41, 64])
def test_the_queue_holds_the_last_rows_on_any_mesh(size):
    """After n batches place p holds the last row r of all with r mod Q = p."""
    objectives = [
        MomentumContrast(make_mesh(*mesh), WIDTH, size) for mesh in [(1, 1), (2, 4)]
    ]
    states = [objective.initial_state() for objective in objectives]
    rows = {"image_queue": [], "text_queue": [], "ids": []}
    for seed in range(5):
        outputs = arrays(seed)
        outputs[Need("sample_id")] = outputs[Need("sample_id")] + 100 * seed
        valid = outputs[Need("valid")]
        states = [
            found(objective, outputs, state)[3]
            for objective, state in zip(objectives, states, strict=True)
        ]
        for name in ("image", "text"):
            new = outputs[Need(f"{name}_embedding", parameters="momentum")]
            rows[f"{name}_queue"].extend(np.where(valid[:, None], new, 0))
        rows["ids"].extend(np.where(valid, outputs[Need("sample_id")], -1))
        done = (seed + 1) * BATCH
        for state in states:
            assert state["pointer"] == done % size
            for name, all_rows in rows.items():
                blank = np.zeros(WIDTH) if name != "ids" else -1
                expected = [blank] * size
                for number, row in enumerate(all_rows):
                    expected[number % size] = row
                np.testing.assert_array_equal(state[name], expected)


def test_the_batch_enters_the_queue_after_the_loss():
    objective = MomentumContrast(make_mesh(2, 1), WIDTH, QUEUE)
    state = objective.initial_state()
    outputs = arrays()
    expected = reference(outputs, jax.tree.map(np.asarray, state), 0.4, "mask")[0]
    value, *_, after, _ = found(objective, outputs, state)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    assert (after["ids"] >= 0).sum() == outputs[Need("valid")].sum()


def test_rows_that_fill_up_change_nothing():
    objective = MomentumContrast(make_mesh(4, 1), WIDTH, QUEUE)
    outputs = arrays()
    first = found(objective, outputs, some_queue())
    junk = ~some_valid(BATCH)
    for need, x in outputs.items():
        if need.name.endswith("embedding"):
            x[junk] = 1e6 if need.parameters == "live" else np.nan
    again = found(objective, outputs, some_queue())
    jax.tree.map(np.testing.assert_array_equal, again, first)
    for gradient in first[4][:2]:
        assert not np.asarray(gradient)[junk].any()
    outputs[Need("valid")] = np.zeros(BATCH, bool)
    value, count, *_, gradients = found(objective, outputs, some_queue())
    assert value == count == 0
    assert not any(np.asarray(x).any() for x in gradients)


def test_momentum_embeddings_have_no_gradient():
    objective = MomentumContrast(make_mesh(2, 1), WIDTH, QUEUE)
    outputs = jax.tree.map(jnp.asarray, arrays())
    slow = {n: x for n, x in outputs.items() if n.parameters == "momentum"}
    state = jax.tree.map(jnp.asarray, some_queue())
    assert len(slow) == 2

    def total(slow):
        return objective(outputs | slow, jnp.int32(0), state).total

    gradients = jax.jit(jax.grad(total))(slow)
    assert not any(np.asarray(x).any() for x in gradients.values())


def test_what_cannot_work_is_refused():
    mesh = make_mesh(1, 1)
    with pytest.raises(ConfigError, match="treatment of the same id 'masked'; known"):
        MomentumContrast(mesh, WIDTH, same_id="masked")
    with pytest.raises(ConfigError, match="queue_size is -1; expected at least 0"):
        MomentumContrast(mesh, WIDTH, queue_size=-1)
    with pytest.raises(ConfigError, match="soft_share is 1.5; expected 0 to 1"):
        MomentumContrast(mesh, WIDTH, soft_share=1.5)
    small = MomentumContrast(mesh, WIDTH, queue_size=10)
    with pytest.raises(ConfigError, match="queue_size is 10, less than the 16 rows"):
        small.check(16, 1000)
    small.check(10, 1000)
    MomentumContrast(mesh, WIDTH, queue_size=0).check(16, 1000)
    assert MomentumContrast(mesh, WIDTH).queue_size == 65536
