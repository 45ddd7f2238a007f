"""Matching and momentum contrast in a train step: the same one on every mesh."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from tests.parallel.meshes import make_mesh
from tests.parallel.tiny_clip import batch_of
from vlp_jax.core import trees
from vlp_jax.models.outputs import check_outputs, compute_outputs
from vlp_jax.objectives.matching import Matching
from vlp_jax.objectives.mixture import Mixture
from vlp_jax.objectives.momentum_contrast import MomentumContrast
from vlp_jax.parallel.mesh import batch_devices
from vlp_jax.parallel.sharding import jit_update, place_batch
from vlp_jax.training.accumulate import accumulated
from vlp_jax.training.state import create_sharded, make_state
from vlp_jax.training.step import make_train_step

BATCH, WIDTH, QUEUE, STEPS = 16, 64, 96, 8
SGD = optax.sgd(0.5)


class TinyFusion(nn.Module):
    """Embeddings of words and patches, and a judge of what they have in common."""

    def setup(self):
        self.patch = nn.Dense(WIDTH)
        self.word = nn.Embed(64, WIDTH)
        self.judge = nn.Dense(2)
        self.logit_scale = self.param("logit_scale", lambda key: jnp.float32(2.0))

    def image_tokens(self, image):
        return self.patch(image.reshape(len(image), 4, -1) / 255 - 0.5)

    def text_states(self, text_tokens):
        return self.word(text_tokens)

    def image_embedding(self, image_tokens):
        return self._unit(image_tokens.mean(1))

    def text_embedding(self, text_states):
        return self._unit(text_states.mean(1))

    def _unit(self, x):
        return x / jnp.linalg.norm(x, axis=-1, keepdims=True)

    def matching_logits(
        self,
        image_tokens,
        text_states,
        text_mask,
        negative_image_tokens,
        negative_text_states,
        negative_text_mask,
    ):
        pairs = (
            (image_tokens, text_states, text_mask),
            (image_tokens, negative_text_states, negative_text_mask),
            (negative_image_tokens, text_states, text_mask),
        )
        both = [
            tokens.mean(1) * (states * mask[..., None]).mean(1)
            for tokens, states, mask in pairs
        ]
        return self.judge(jnp.stack(both, axis=1))

    def __call__(self, images, tokens):
        image, text = self.image_tokens(images), self.text_states(tokens)
        mask = jnp.ones(tokens.shape, bool)
        return self.matching_logits(image, text, mask, image, text, mask)


def batch(step):
    found = batch_of(step, BATCH)
    found["pairs"]["sample_id"] = np.arange(BATCH, dtype=np.int32) + BATCH * step
    return found


def mixture_on(mesh, negatives):
    objectives = {
        "matching": Matching(mesh, negatives, tile_size=3),
        "momentum_contrast": MomentumContrast(mesh, WIDTH, QUEUE, ramp_steps=4),
    }
    return Mixture(objectives, dict.fromkeys(objectives, 1.0))


@functools.cache
def train(sizes, negatives, parts=1):
    """(metrics of each step, final state, how often the step was compiled)."""
    mesh, model = make_mesh(*sizes), TinyFusion()
    mixture = mixture_on(mesh, negatives)
    init = functools.partial(
        model.init,
        images=jnp.zeros((1, 8, 8, 3), jnp.uint8),
        tokens=jnp.zeros((1, 6), jnp.int32),
    )
    make = functools.partial(
        make_state, init, SGD, mixture.initial_state(), averages=("momentum",), seed=0
    )
    state = create_sharded(make, mesh)
    compute = compute_outputs(model, mixture.derived)
    compute = accumulated(compute, parts, batch_devices(mesh))
    decays = {"momentum": 0.5}
    step = jit_update(make_train_step(compute, mixture, SGD, 0, {}, decays), state)
    rows = []
    with jax.set_mesh(mesh):
        for i in range(STEPS):
            state, metrics = step(state, place_batch(batch(i), mesh))
            rows.append({k: float(v) for k, v in metrics.items()})
    return rows, state, step._cache_size()


def test_the_model_can_meet_what_the_objectives_need():
    given = {"pairs": batch(0)["pairs"].keys(), "": {"logit_scale"}}
    for negatives in ("device", "global", "random"):
        mixture = mixture_on(make_mesh(1, 1), negatives)
        check_outputs(TinyFusion(), mixture.derived, mixture.needs, given)
        assert mixture.needs_momentum


@pytest.mark.parametrize(
    "sizes", [pytest.param((8, 1, 1), marks=pytest.mark.long), (2, 2, 2)], ids=str
)
def test_steps_with_negatives_of_all_rows_are_the_same_on_every_mesh(sizes):
    rows, state, compiled = train(sizes, "global")
    expected_rows, expected, _ = train((1, 1, 1), "global")
    assert compiled == 1
    for row, expected_row in zip(rows, expected_rows, strict=True):
        assert row.keys() == expected_row.keys()
        for name, value in row.items():
            assert value == pytest.approx(expected_row[name], rel=1e-5, abs=1e-6), name
    for tree in ("params", "momentum", "objective_state"):
        found = trees.flatten(getattr(state, tree))
        for path, value in trees.flatten(getattr(expected, tree)).items():
            np.testing.assert_allclose(found[path], value, atol=2e-6, err_msg=path)
    queue = state.objective_state["momentum_contrast"]
    # Row 5 of every batch only fills it up. Eight batches of 16 in 96 places.
    seen = np.arange(BATCH * STEPS)
    seen[seen % BATCH == 5] = -1
    np.testing.assert_array_equal(
        queue["ids"],
        np.concatenate([seen[QUEUE:], seen[BATCH * STEPS - QUEUE : QUEUE]]),
    )
    shares = [row["momentum_contrast/soft_share"] for row in rows]
    np.testing.assert_allclose(shares, [0, 0.1, 0.2, 0.3, 0.4, 0.4, 0.4, 0.4], 1e-5)


@pytest.mark.parametrize("parts", [1, 2])
def test_steps_with_negatives_of_the_device(parts):
    rows, state, compiled = train((2, 2, 2), "device", parts)
    others, *_ = train((1, 1, 1), "global")
    assert compiled == 1
    assert all(np.isfinite(list(row.values())).all() for row in rows)
    assert rows[0]["matching/loss"] != others[0]["matching/loss"]  # other negatives
    contrast = "momentum_contrast/loss"  # of the whole batch, however it is cut
    assert rows[0][contrast] == pytest.approx(others[0][contrast], rel=1e-5)
