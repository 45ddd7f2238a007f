"""BLIP aligns, judges, writes and answers at once, in the same steps on every mesh."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.models import blip_pair
from tests.parallel.meshes import make_mesh
from vlp_jax.core import trees
from vlp_jax.core.errors import ConfigError
from vlp_jax.models.mixed_bert import MixedBert
from vlp_jax.models.outputs import check_outputs, compute_outputs
from vlp_jax.objectives.answering import AnswerText
from vlp_jax.objectives.captioning import Captioning
from vlp_jax.objectives.hard_negatives import Negatives
from vlp_jax.objectives.matching import Matching
from vlp_jax.objectives.mixture import Mixture
from vlp_jax.objectives.momentum_contrast import MomentumContrast
from vlp_jax.parallel.mesh import batch_devices
from vlp_jax.parallel.sharding import jit_update, place_batch
from vlp_jax.training.accumulate import accumulated
from vlp_jax.training.state import create_sharded, make_state
from vlp_jax.training.step import make_train_step

BATCH, QUEUE = 8, 16
LOSSES = ("momentum_contrast", "matching", "captioning", "answer_text")


def model(**settings):
    text = blip_pair.tower(MixedBert, depth=1)
    found = blip_pair.shared_model(text=text, answering=True)
    return found.clone(image=found.image.clone(depth=1), **settings)


def batch():
    """Pairs, and questions about the same pictures; row 5 only fills up."""
    tokens, mask = (np.resize(x, (BATCH, x.shape[1])) for x in blip_pair.texts(5))
    answers, answer_mask = (
        np.resize(x, (BATCH, x.shape[1])) for x in blip_pair.texts(5, seed=5)
    )
    rows = np.arange(BATCH, dtype=np.int32)
    pairs = {
        "image": blip_pair.pictures(BATCH),
        "text_tokens": np.where(
            mask & (tokens > 2), 3 + (tokens + rows[:, None]) % 27, tokens
        ),
        "text_mask": mask,
        "valid": rows != 5,
        "sample_id": rows,
    }
    answers = {"answer_tokens": answers, "answer_mask": answer_mask}
    return {"pairs": pairs, "questions": pairs | answers}


def mixture_on(mesh, fixed=True):
    """fixed: two neighbours are each other's negatives; they share a device."""
    matching = Matching(mesh)
    if fixed:
        matching.derived["negative_index"] = lambda valid: Negatives(
            *[jnp.arange(len(valid)) ^ 1] * 2
        )
    losses = (
        MomentumContrast(mesh, blip_pair.EMBEDDING, QUEUE, ramp_steps=2),
        matching,
        Captioning(),
        AnswerText(),
    )
    objectives = dict(zip(LOSSES, losses, strict=True))
    return Mixture(objectives, dict.fromkeys(LOSSES, 1.0))


@functools.cache
def train(sizes, steps, fixed=True, rate=0.005):
    """(metrics of each step, final state, how often it was compiled)."""
    mesh, blip, given = make_mesh(*sizes), model(), batch()
    mixture = mixture_on(mesh, fixed)
    optimizer = optax.sgd(rate) if fixed else optax.adam(rate)
    init = functools.partial(
        blip.init,
        images=jnp.asarray(given["pairs"]["image"][:1]),
        tokens=jnp.asarray(given["pairs"]["text_tokens"][:1]),
    )
    make = functools.partial(
        make_state,
        *(init, optimizer, mixture.initial_state()),
        averages=("momentum",),
        seed=0,
    )
    state = create_sharded(make, mesh)
    compute = compute_outputs(blip, mixture.derived)
    compute = accumulated(compute, 1, batch_devices(mesh))
    decays = {"momentum": 0.9}
    step = jit_update(
        make_train_step(compute, mixture, optimizer, 0, {}, decays), state
    )
    rows = []
    with jax.set_mesh(mesh):
        for _ in range(steps):
            state, metrics = step(state, place_batch(given, mesh))
            rows.append({k: float(v) for k, v in metrics.items()})
    return rows, state, step._cache_size()


def test_the_model_can_meet_what_the_objectives_need():
    given = {name: rows.keys() for name, rows in batch().items()}
    given[""] = {"logit_scale"}
    mixture = mixture_on(make_mesh(1, 1), fixed=False)
    check_outputs(model(), mixture.derived, mixture.needs, given)
    for setting in ("matching", "captioning", "answering"):
        lacking = model(**{setting: False})
        with pytest.raises(ConfigError, match="a Blip has no output"):
            check_outputs(lacking, mixture.derived, mixture.needs, given)


@pytest.mark.long
def test_steps_are_the_same_on_every_mesh():
    rows, state, compiled = train((2, 2, 2), 3)
    expected_rows, expected, _ = train((1, 1, 1), 3)
    assert compiled == 1
    for row, expected_row in zip(rows, expected_rows, strict=True):
        assert {f"{name}/loss" for name in LOSSES} <= row.keys()
        for name, value in row.items():
            assert value == pytest.approx(expected_row[name], rel=2e-5, abs=1e-5), name
    for tree in ("params", "momentum"):
        found = trees.flatten(getattr(state, tree))
        for path, value in trees.flatten(getattr(expected, tree)).items():
            difference = np.abs(np.asarray(found[path]) - np.asarray(value)).max()
            assert difference <= 2e-5 * np.abs(value).max() + 1e-7, path


@pytest.mark.long
def test_one_batch_is_learned_by_heart():
    rows, _, _ = train((2, 1, 1), 80, fixed=False, rate=3e-3)
    first, last = rows[0], rows[-1]
    assert last["matching/accuracy"] > 0.9
    for name in ("captioning", "answer_text"):
        assert last[f"{name}/loss"] < 0.6 * first[f"{name}/loss"], name
