"""Models that learn captions take the same steps on every mesh."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.models import writing_models
from tests.parallel.meshes import make_mesh
from vlp_jax.core import trees
from vlp_jax.models.outputs import check_outputs, compute_outputs
from vlp_jax.objectives.captioning import Captioning
from vlp_jax.objectives.contrastive import Contrastive
from vlp_jax.objectives.mixture import Mixture
from vlp_jax.objectives.prefix_lm import PrefixLM
from vlp_jax.parallel.mesh import batch_devices
from vlp_jax.parallel.sharding import jit_update, place_batch
from vlp_jax.training.accumulate import accumulated
from vlp_jax.training.state import create_sharded, make_state
from vlp_jax.training.step import make_train_step

KINDS = pytest.mark.parametrize("kind", writing_models.MODELS)
WEIGHTS = {"contrastive": 1.0, "captioning": 2.0, "prefix_lm": 1.0}


def mixture_of(kind, mesh):
    objectives = {
        "contrastive": Contrastive(mesh, tile_size=3),
        "captioning": Captioning(label_smoothing=0.0),
        "prefix_lm": PrefixLM(),
    }
    names = writing_models.LOSSES[kind]
    return Mixture({name: objectives[name] for name in names}, WEIGHTS)


@functools.cache
def train(kind, sizes, steps, optimizer=None):
    """(metrics of each step, final parameters, how often it was compiled)."""
    mesh, model = make_mesh(*sizes), writing_models.MODELS[kind]()
    mixture, optimizer = mixture_of(kind, mesh), optimizer or optax.sgd(0.1)
    given = writing_models.batch()
    init = functools.partial(
        model.init,
        images=jnp.asarray(given["image"][:1]),
        tokens=jnp.asarray(given["text_tokens"][:1]),
    )
    make = functools.partial(
        make_state, init, optimizer, mixture.initial_state(), averages=(), seed=0
    )
    state = create_sharded(make, mesh)
    compute = compute_outputs(model, mixture.derived)
    compute = accumulated(compute, 1, batch_devices(mesh))
    step = jit_update(make_train_step(compute, mixture, optimizer, 0, {}, {}), state)
    rows = []
    with jax.set_mesh(mesh):
        for _ in range(steps):
            state, metrics = step(state, place_batch({"pairs": given}, mesh))
            rows.append({k: float(v) for k, v in metrics.items()})
    return rows, trees.flatten(state.params), step._cache_size()


@KINDS
def test_the_model_can_meet_what_its_objectives_need(kind):
    mixture = mixture_of(kind, make_mesh(1, 1))
    given = {"pairs": writing_models.batch().keys(), "": {"logit_scale"}}
    check_outputs(writing_models.MODELS[kind](), mixture.derived, mixture.needs, given)


@pytest.mark.long
@KINDS
def test_steps_are_the_same_on_every_mesh(kind):
    rows, params, compiled = train(kind, (2, 2, 2), 3)
    expected_rows, expected, _ = train(kind, (1, 1, 1), 3)
    assert compiled == 1
    for row, expected_row in zip(rows, expected_rows, strict=True):
        assert {f"{x}/loss" for x in writing_models.LOSSES[kind]} <= row.keys()
        for name, value in row.items():
            assert value == pytest.approx(expected_row[name], rel=2e-5, abs=1e-5), name
    for path, value in expected.items():
        difference = np.abs(np.asarray(params[path]) - np.asarray(value)).max()
        assert difference <= 2e-5 * np.abs(value).max() + 1e-7, path


@pytest.mark.long
@KINDS
def test_one_batch_is_learned_by_heart(kind):
    rows, _, _ = train(kind, (2, 1, 1), 80, optax.adam(1e-2))
    for name in writing_models.LOSSES[kind]:
        assert rows[-1][f"{name}/loss"] < 0.4 * rows[0][f"{name}/loss"], name
