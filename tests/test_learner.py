"""What learns: the parts that a config names, their state in shards, and their step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.recipes import tiny
from vlp_jax import build
from vlp_jax.core import trees
from vlp_jax.core.errors import ConfigError
from vlp_jax.learner import Learner
from vlp_jax.parallel.sharding import LAYOUT, ZERO, place_batch
from vlp_jax.training.state import variables_of


class Words:
    """Nothing else of a tokenizer is used."""

    vocab_size, length, bos_id, eos_id, pad_id, mask_id = 300, 8, 2, 3, 0, 1


def learner(devices: int = 8, **settings) -> Learner:
    """That of the tiny recipe."""
    config = tiny(**{"bounds__logit_scale": (0.0, 2.0), **settings})
    mesh = build.make_mesh(config, jax.devices()[:devices])
    return Learner(config, mesh, build.make_preprocessing(config), Words)


def pairs(rows: int) -> dict:
    rng = np.random.default_rng(0)
    tokens = rng.integers(4, 300, (rows, 8)).astype(np.int32)
    tokens[:, 5] = Words.eos_id
    return {
        "pairs": {
            "image": rng.integers(0, 256, (rows, 24, 24, 3)).astype(np.uint8),
            "text_tokens": tokens,
            "text_mask": np.ones((rows, 8), bool),
            "valid": np.ones(rows, bool),
        }
    }


def test_its_parts_are_those_of_the_config():
    found = learner(learning_rate__peak=0.5, learning_rate__warmup_steps=10)
    assert [float(found.learning_rate(step)) for step in (0, 5, 10)] == [0, 0.25, 0.5]
    assert abs(float(found.learning_rate(40))) < 1e-6  # after the 40 steps of the run
    assert list(found.objective.active) == ["contrastive"]
    assert found.bounds == {"logit_scale": (0.0, 2.0)}
    assert (found.model.image.width, found.model.text.vocab_size) == (32, 300)
    assert found.layout is LAYOUT and learner(zero=True).layout is ZERO
    assert found.trains is None


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"learning_rate__warmup_steps": 41}, "warmup_steps is 41"),
        ({"objectives__sigmoid__weight": 1.0}, "objectives.sigmoid needs a bias"),
        ({"objectives__contrastive__weight": 0.0}, "every objective has weight 0"),
        ({"bounds__logit_scale": (2.0, 1.0)}, "bounds.logit_scale is"),
        ({"optimizer__kind": "adam"}, "unknown optimizer.kind 'adam'; known: adamw"),
        ({"trainable": ("txt/",)}, "trainable: 'txt/' is found in no parameter path"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_made(settings, said):
    with pytest.raises(ConfigError, match=said):
        learner(**settings)


def test_the_shapes_are_those_of_the_state_that_is_made():
    found = learner(mesh__fsdp=4, zero=True, trainable=("^text", "^logit"))
    shapes, state = found.state_shapes(), found.fresh_state({})
    assert jax.tree.structure(shapes) == jax.tree.structure(state)
    for shape, leaf in zip(*map(jax.tree.leaves, (shapes, state)), strict=True):
        assert (shape.shape, shape.dtype) == (leaf.shape, leaf.dtype)
        assert shape.sharding == leaf.sharding
    assert set(state.params) == {"text", "text_projection", "logit_scale"}
    assert set(state.frozen) == {"image", "image_projection"}
    assert jax.tree.structure(state.ema) == jax.tree.structure(state.params)
    assert learner(ema_decay=None).state_shapes().ema == ()


def test_values_that_are_given_are_not_drawn():
    found = learner(devices=1, ema_decay=0.0)
    table = jnp.arange(300 * 32.0).reshape(300, 32)
    given = found.fresh_state({"text/token_embedding": table})
    drawn = trees.flatten(variables_of(found.fresh_state({}))["params"])
    for path, leaf in trees.flatten(variables_of(given)["params"]).items():
        expected = table if path == "text/token_embedding" else drawn[path]
        np.testing.assert_array_equal(leaf, expected, err_msg=path)


def test_a_step_learns_within_the_bounds_and_the_average_follows():
    found = learner(devices=1, ema_decay=0.0)
    state = found.fresh_state({})
    before = jax.device_get(state.params)
    update = found.update(found.state_shapes())
    with jax.set_mesh(found.mesh):
        for _ in range(2):  # the rate of the first step is 0
            state, metrics = update(state, place_batch(pairs(16), found.mesh))
    assert int(state.step) == 2 and 1 < float(metrics["loss"]) < 5
    assert 1.9 < float(state.params["logit_scale"]) <= 2.0  # 2.66 at the start
    moved = trees.flatten(
        jax.tree.map(lambda a, b: (a != b).any(), before, state.params)
    )
    assert moved["text/token_embedding"] and moved["image/position_embedding"]
    same = jax.tree.map(np.array_equal, state.ema, state.params)
    assert jax.tree.all(same)  # with a decay of 0
