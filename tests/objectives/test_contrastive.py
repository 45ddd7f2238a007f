"""The contrastive loss: by hand, against float64, on every mesh, in bounded memory."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vlp_jax.core.types import Need, Term
from vlp_jax.objectives.contrastive import Contrastive, dense_loss, tiled_loss
from vlp_jax.objectives.mixture import Mixture
from vlp_jax.parallel.mesh import MeshSpec
from vlp_jax.parallel.sharding import place_batch

MESHES = [(1, 1), (2, 1), (4, 1), (8, 1), (4, 2), (2, 4), (2, 2, 2)]
INPUTS = (0, 1, 2)  # image, text, logit_scale


def make_mesh(*sizes):
    return MeshSpec(*sizes).make(jax.devices()[: math.prod(sizes)])


def unit(x):
    return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)


def random_pairs(batch, width, likeness=0.5, seed=0):
    """Unit embeddings of which the pairs are somewhat alike."""
    rng = np.random.default_rng(seed)
    image, noise = rng.normal(size=(2, batch, width))
    return unit(image), unit(likeness * image + noise)


def some_valid(batch):
    valid = np.ones(batch, bool)
    valid[[1, 2, batch // 2, batch - 1]] = False
    return valid


def reference(image, text, logit_scale, valid):
    """The loss and its gradients in float64, written so that nothing cancels.

    With S_kk the positive, CE = softplus(logsumexp(negatives) - S_kk).
    """
    i, t = image[valid].astype(np.float64), text[valid].astype(np.float64)
    scale = np.exp(np.float64(logit_scale))
    logits = scale * i @ t.T
    positive = np.diag(logits).copy()
    np.fill_diagonal(logits, -np.inf)
    total, weights, scale_gradient = 0.0, np.zeros_like(logits), 0.0
    for negatives in (logits, logits.T):  # rows, then columns
        margin = np.logaddexp.reduce(negatives, axis=1) - positive
        loss = np.logaddexp(0, margin)
        total += loss.sum() / 2
        gap = np.where(np.isfinite(negatives), negatives - positive[:, None], -1e9)
        softmax = np.exp(gap - loss[:, None])
        scale_gradient += (softmax * gap).sum() / 2
        np.fill_diagonal(softmax, -np.exp(-np.logaddexp(0, -margin)))
        weights += (softmax if negatives is logits else softmax.T) / 2
    gradients = np.zeros(image.shape), np.zeros(text.shape)
    gradients[0][valid], gradients[1][valid] = (
        scale * weights @ t,
        scale * weights.T @ i,
    )
    return total, *gradients, scale_gradient


def error(given, expected):
    """max |difference| / max |reference|; scalars floored at 1e-6."""
    given, expected = np.asarray(given, np.float64), np.asarray(expected)
    floor = 1e-6 if expected.ndim == 0 else 0.0
    return np.abs(given - expected).max() / max(np.abs(expected).max(), floor)


def errors(value_and_gradients, expected):
    value, gradients = value_and_gradients
    return [error(a, b) for a, b in zip((value, *gradients), expected, strict=True)]


def value_and_gradients(loss):
    return jax.jit(jax.value_and_grad(loss, argnums=INPUTS))


def test_reference_is_the_gradient_of_its_value():
    image, text = (x.astype(np.float64) for x in random_pairs(6, 4))
    valid, step = some_valid(6), 1e-6
    _, *gradients = reference(image, text, 1.0, valid)
    for which, gradient in enumerate(gradients):
        inputs = [image.copy(), text.copy(), np.array(1.0)]
        at = (0, 2) if which < 2 else ()
        sides = []
        for sign in (1, -1):
            inputs[which][at] += sign * step
            sides.append(reference(*inputs, valid)[0])
            inputs[which][at] -= sign * step
        slope = (sides[0] - sides[1]) / (2 * step)
        np.testing.assert_allclose(np.asarray(gradient)[at], slope, rtol=1e-6)


@pytest.mark.parametrize(
    "make", [lambda mesh: dense_loss, lambda mesh: tiled_loss(mesh, 1)]
)
def test_two_pairs_by_hand(make):
    """s = 2 and t = (0.6, 0.8), (0, 1) against i = (1, 0), (0, 1).

    S = [[1.2, 0], [1.6, 2]]. The rows' cross entropies are ln(1 + e^-1.2) = 0.263282
    and ln(1 + e^-0.4) = 0.513015, the columns' ln(1 + e^0.4) = 0.913015 and
    ln(1 + e^-2) = 0.126928; half their sum is 0.908120.
    With m = -1.2, -0.4, 0.4, -2 as above, the gradient of log s is half the sum of
    m sigmoid(m) = (-0.277770 - 0.160525 + 0.239475 - 0.238406) / 2 = -0.218613.
    """
    image = jnp.array([[1.0, 0.0], [0.0, 1.0]])
    text = jnp.array([[0.6, 0.8], [0.0, 1.0]])
    loss = make(make_mesh(1, 1))
    value, gradients = value_and_gradients(loss)(
        image, text, jnp.log(2.0), jnp.array([True, True])
    )
    np.testing.assert_allclose(value, 0.908120, atol=1e-6)
    np.testing.assert_allclose(gradients[2], -0.218613, atol=1e-6)
    only_first = jax.jit(loss)(image, text, jnp.log(2.0), jnp.array([True, False]))
    np.testing.assert_allclose(only_first, 0.0, atol=1e-6)


def test_equal_embeddings_cost_log_batch():
    same = jnp.full((16, 4), 0.5)
    for loss in (dense_loss, tiled_loss(make_mesh(8, 1), 5)):
        total = jax.jit(loss)(same, same, jnp.log(10.0), jnp.ones(16, bool))
        np.testing.assert_allclose(total / 16, math.log(16), rtol=1e-6)


@pytest.mark.parametrize("sizes", MESHES, ids=str)
def test_equals_float64_on_every_mesh(sizes):
    """48 rows; 7 and 32 do not divide them, 1024 is more than there are."""
    mesh = make_mesh(*sizes)
    image, text = random_pairs(48, 32)
    losses = [dense_loss, *(tiled_loss(mesh, tile) for tile in (7, 32, 1024))]
    for loss in losses[:: 1 if sizes in [(1, 1), (2, 4)] else 2]:
        function = value_and_gradients(loss)
        for valid in (np.ones(48, bool), some_valid(48)):
            for scale in (1 / 0.07, 100.0):
                logit_scale = np.float32(math.log(scale))
                rows = place_batch((image, text, valid), mesh)
                found = function(rows[0], rows[1], logit_scale, rows[2])
                expected = reference(image, text, logit_scale, valid)
                assert max(errors(found, expected)) <= 1e-5
        assert function._cache_size() == 1


def test_rows_that_fill_up_change_nothing():
    image, text = random_pairs(16, 8)
    valid = some_valid(16)
    loss = value_and_gradients(tiled_loss(make_mesh(4, 1), 4))
    value, gradients = loss(image, text, 2.0, valid)
    image[~valid], text[~valid] = 1e6, 1e6
    other_value, other_gradients = loss(image, text, 2.0, valid)
    assert value == other_value
    for a, b in zip(gradients, other_gradients, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.asarray(gradients[0])[~valid].any()
    assert not np.asarray(gradients[1])[~valid].any()
    nothing = loss(image, text, 2.0, np.zeros(16, bool))
    assert not any(np.asarray(x).any() for x in jax.tree.leaves(nothing))


def test_all_embeddings_nearly_equal_at_the_largest_scale():
    """s = 100 and every cosine about 0.95, pairs no nearer than the rest."""
    rng = np.random.default_rng(0)
    centre = unit(rng.normal(size=(1, 64)))
    image, text = (
        unit(0.95**0.5 * centre + 0.05**0.5 * unit(rng.normal(size=(512, 64))))
        for _ in range(2)
    )
    logit_scale, valid = np.float32(math.log(100)), np.ones(512, bool)
    found = value_and_gradients(tiled_loss(make_mesh(2, 4), 100))(
        image, text, logit_scale, valid
    )
    assert max(errors(found, reference(image, text, logit_scale, valid))) <= 1e-5


@pytest.mark.parametrize("scale", [1 / 0.07, 100.0])
def test_near_convergence_it_is_better_than_dense(scale):
    """cos(pair) = 0.95 among random directions: losses of 3e-3 and 4e-22 a batch.

    Where the positives win, logsumexp(S) - S_kk and softmax - 1 cancel; the dense
    loss in float32 then misses its gradient by 5e-5 (s = 14) or altogether (s = 100).
    """
    rng = np.random.default_rng(0)
    image = unit(rng.normal(size=(512, 64)))
    text = unit(0.95 * image + (1 - 0.95**2) ** 0.5 * unit(rng.normal(size=(512, 64))))
    inputs = image, text, np.float32(math.log(scale)), np.ones(512, bool)
    expected = reference(*inputs)
    dense = errors(value_and_gradients(dense_loss)(*inputs), expected)
    tiled = errors(
        value_and_gradients(tiled_loss(make_mesh(2, 4), 100))(*inputs), expected
    )
    assert max(tiled) <= max(1e-5, max(dense))  # what is asked
    assert max(tiled) < max(dense) / 5  # what the margins are for


def test_bfloat16_embeddings():
    image, text = (jnp.asarray(x, jnp.bfloat16) for x in random_pairs(512, 64))
    valid = some_valid(512)
    for scale in (1 / 0.07, 100.0):
        logit_scale = np.float32(math.log(scale))
        found = value_and_gradients(tiled_loss(make_mesh(2, 4), 100))(
            image, text, logit_scale, valid
        )
        assert found[1][0].dtype == found[1][1].dtype == jnp.bfloat16
        assert found[0].dtype == found[1][2].dtype == jnp.float32
        exact = [np.asarray(x.astype(jnp.float32)) for x in (image, text)]
        assert max(errors(found, reference(*exact, logit_scale, valid))) <= 1e-2


def test_the_second_call_does_not_compile():
    mesh = make_mesh(2, 4)
    function = value_and_gradients(tiled_loss(mesh, 4))
    for seed in range(2):
        rows = place_batch((*random_pairs(16, 8, seed=seed), some_valid(16)), mesh)
        function(rows[0], rows[1], np.float32(seed), rows[2])
    assert function._cache_size() == 1


def test_nothing_of_size_rows_by_batch_is_saved():
    """What the backward pass receives: the inputs and a few numbers per row."""
    batch, width = 256, 16
    image, text = random_pairs(batch, width)
    valid = jnp.ones(batch, bool)

    def saved(loss):
        def backward(*inputs):
            return jax.vjp(lambda *x: loss(*x, valid), *inputs)[1]

        shapes = jax.eval_shape(backward, image, text, jnp.float32(2))
        return [x.size for x in jax.tree.leaves(shapes)]

    assert max(saved(tiled_loss(make_mesh(8, 1), 32))) == batch * width
    assert sum(saved(tiled_loss(make_mesh(8, 1), 32))) < 2 * batch * (width + 4)
    assert max(saved(dense_loss)) == batch * batch  # so the test can tell


def test_compiled_memory_is_far_below_dense():
    """Temporaries of value and gradient, a device's share, as XLA allots them."""
    mesh = make_mesh(8, 1)

    def temporaries(loss, batch):
        image, text = random_pairs(batch, 64)
        rows = place_batch((image, text, np.ones(batch, bool)), mesh)
        compiled = value_and_gradients(loss).lower(rows[0], rows[1], 2.0, rows[2])
        return compiled.compile().memory_analysis().temp_size_in_bytes

    small, large = (temporaries(tiled_loss(mesh, 256), b) for b in (2048, 4096))
    assert large <= 2.05 * small  # with the batch, not with its square
    assert large <= temporaries(dense_loss, 4096) / 5


class Spread:
    """A second objective: the sum of squares of the text embeddings."""

    scope = "global"
    needs = (Need("text_embedding"), Need("valid"))

    def initial_state(self):
        return ()

    def __call__(self, outputs, step, state):
        text, valid = (outputs[need] for need in self.needs)
        return Term(jnp.square(text).sum(), valid.sum().astype(jnp.float32))


def mixture_gradients(**weights):
    mesh = make_mesh(2, 4)
    known = {"contrastive": Contrastive(mesh, tile_size=5), "spread": Spread()}
    mixture = Mixture({name: known[name] for name in weights}, weights)
    image, text = random_pairs(16, 8)
    inputs = {"image_embedding": image, "text_embedding": text, "logit_scale": 2.0}

    @jax.jit
    def value_and_gradients(inputs):
        def loss(inputs):
            outputs = {Need(name): x for name, x in inputs.items()}
            outputs[Need("valid")] = jnp.asarray(some_valid(16))
            return mixture(outputs, jnp.int32(0), mixture.initial_state())[:2]

        return jax.value_and_grad(loss, has_aux=True)(inputs)

    (value, metrics), gradients = value_and_gradients(inputs)
    return value, metrics, gradients, mixture


def test_objective_divides_by_the_valid_pairs():
    value, metrics, gradients, _ = mixture_gradients(contrastive=1.0)
    image, text = random_pairs(16, 8)
    total, *expected = reference(image, text, 2.0, some_valid(16))
    assert error(value, total / 12) <= 1e-5
    names = ("image_embedding", "text_embedding", "logit_scale")
    for name, gradient in zip(names, expected, strict=True):
        assert error(gradients[name], gradient / 12) <= 1e-5
    assert metrics["contrastive/loss"] == metrics["loss"] == value
    np.testing.assert_allclose(metrics["contrastive/scale"], math.exp(2), rtol=1e-6)


def test_weight_zero_removes_a_term_exactly():
    *alone, mixture_alone = mixture_gradients(contrastive=1.0)
    *with_zero, mixture = mixture_gradients(contrastive=1.0, spread=0.0)
    assert set(mixture.needs) == set(mixture_alone.needs)
    assert mixture.initial_state().keys() == {"contrastive"}
    jax.tree.map(np.testing.assert_array_equal, with_zero, alone)
    _, _, gradients, mixture = mixture_gradients(contrastive=0.0, spread=1.0)
    assert Need("image_embedding") not in mixture.needs
    assert not np.asarray(gradients["image_embedding"]).any()


def test_gradient_of_a_mixture_is_the_weighted_sum():
    _, _, contrastive, _ = mixture_gradients(contrastive=1.0)
    _, _, spread, _ = mixture_gradients(spread=1.0)
    _, _, scaled, _ = mixture_gradients(contrastive=0.25)
    _, metrics, both, _ = mixture_gradients(contrastive=0.25, spread=3.0)
    for name in contrastive:
        np.testing.assert_allclose(scaled[name], contrastive[name] / 4, rtol=1e-6)
        expected = 0.25 * np.float64(contrastive[name]) + 3 * np.float64(spread[name])
        assert error(both[name], expected) <= 1e-6
    terms = 0.25 * metrics["contrastive/loss"] + 3 * metrics["spread/loss"]
    np.testing.assert_allclose(metrics["loss"], terms, rtol=1e-6)
