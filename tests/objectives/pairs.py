"""Embeddings to try losses on, and the losses in float64."""

import jax
import numpy as np

from vlp_jax.parallel.sharding import place_batch

MESHES = [(1, 1), (2, 1), (4, 1), (8, 1), (4, 2), (2, 4), (2, 2, 2)]


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


def distinct(batch):
    return np.arange(batch, dtype=np.int32)


def some_keys(batch):
    """Keys of which some are the same as their neighbour's or another far away."""
    keys = distinct(batch)
    keys[3], keys[batch - 2], keys[batch // 3] = keys[4], keys[0], keys[0]
    return keys


def softmax_reference(image, text, logit_scale, valid, keys=None, weights=(0.5, 0.5)):
    """The softmax loss and its gradients in float64, so that nothing cancels.

    With S_kk the positive, CE = softplus(logsumexp(negatives) - S_kk).
    """
    keys = (distinct(len(image)) if keys is None else keys)[valid]
    i, t = image[valid].astype(np.float64), text[valid].astype(np.float64)
    scale = np.exp(np.float64(logit_scale))
    logits = scale * i @ t.T
    positive = np.diag(logits).copy()
    logits[keys[:, None] == keys] = -np.inf
    total, slopes, scale_gradient = 0.0, np.zeros_like(logits), 0.0
    for negatives, weight in zip((logits, logits.T), weights, strict=True):
        margin = np.logaddexp.reduce(negatives, axis=1) - positive
        loss = np.logaddexp(0, margin)
        total += weight * loss.sum()
        gap = np.where(np.isfinite(negatives), negatives - positive[:, None], -1e9)
        softmax = np.exp(gap - loss[:, None])
        scale_gradient += weight * (softmax * gap).sum()
        np.fill_diagonal(softmax, -np.exp(-np.logaddexp(0, -margin)))
        slopes += weight * (softmax if negatives is logits else softmax.T)
    gradients = np.zeros(image.shape), np.zeros(text.shape)
    gradients[0][valid], gradients[1][valid] = (
        scale * slopes @ t,
        scale * slopes.T @ i,
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


def sigmoid_reference(image, text, logit_scale, logit_bias, valid, keys=None):
    """The sigmoid loss and its gradients in float64."""
    keys = (distinct(len(image)) if keys is None else keys)[valid]
    i, t = image[valid].astype(np.float64), text[valid].astype(np.float64)
    scaled = np.exp(np.float64(logit_scale)) * i @ t.T
    logits = scaled + np.float64(logit_bias)
    own = np.eye(len(keys), dtype=bool)
    sign = np.where(own, 1.0, -1.0)
    counts = own | (keys[:, None] != keys)
    total = np.logaddexp(0, -sign * logits)[counts].sum()
    slopes = np.where(counts, -sign * np.exp(-np.logaddexp(0, sign * logits)), 0)
    gradients = np.zeros(image.shape), np.zeros(text.shape)
    scale = np.exp(np.float64(logit_scale))
    gradients[0][valid], gradients[1][valid] = scale * slopes @ t, scale * slopes.T @ i
    return total, *gradients, (slopes * scaled).sum(), slopes.sum()


def value_and_gradients(loss, inputs=3):
    return jax.jit(jax.value_and_grad(loss, argnums=tuple(range(inputs))))


# ---- what holds for both losses: f(image, text, *scalars, valid, keys)


def check_reference(reference, *scalars, more) -> None:
    """A reference's gradients are the slopes of its value."""
    image, text = (x.astype(np.float64) for x in random_pairs(8, 4))
    step = 1e-6
    _, *gradients = reference(image, text, *scalars, *more)
    for which, gradient in enumerate(gradients):
        inputs = [image.copy(), text.copy(), *map(np.array, scalars)]
        at = (0, 2) if which < 2 else ()
        sides = []
        for sign in (1, -1):
            inputs[which][at] += sign * step
            sides.append(reference(*inputs, *more)[0])
            inputs[which][at] -= sign * step
        slope = (sides[0] - sides[1]) / (2 * step)
        np.testing.assert_allclose(np.asarray(gradient)[at], slope, rtol=1e-6)


def nearly_equal_pairs(batch, width):
    """Every cosine about 0.95, pairs no nearer than the rest."""
    rng = np.random.default_rng(0)
    centre = unit(rng.normal(size=(1, width)))
    return tuple(
        unit(0.95**0.5 * centre + 0.05**0.5 * unit(rng.normal(size=(batch, width))))
        for _ in range(2)
    )


def check_rows_that_fill_up(loss, *scalars) -> None:
    """Whatever they hold changes nothing, and they get no gradient."""
    image, text = random_pairs(16, 8)
    valid, keys = some_valid(16), distinct(16)
    loss = value_and_gradients(loss, 2 + len(scalars))
    first = loss(image, text, *scalars, valid, keys)
    image[~valid], text[~valid] = 1e6, 1e6
    again = loss(image, text, *scalars, valid, keys)
    jax.tree.map(np.testing.assert_array_equal, again, first)
    for gradient in first[1][:2]:
        assert not np.asarray(gradient)[~valid].any()
    nothing = loss(image, text, *scalars, np.zeros(16, bool), keys)
    assert not any(np.asarray(x).any() for x in jax.tree.leaves(nothing))


def temporaries(loss, mesh, batch, *scalars) -> int:
    """Bytes beside inputs and results, a device's share, as XLA allots them."""
    inputs = (*random_pairs(batch, 64), np.ones(batch, bool), distinct(batch))
    rows = place_batch(inputs, mesh)
    function = value_and_gradients(loss, 2 + len(scalars))
    compiled = function.lower(*rows[:2], *scalars, *rows[2:]).compile()
    return compiled.memory_analysis().temp_size_in_bytes
