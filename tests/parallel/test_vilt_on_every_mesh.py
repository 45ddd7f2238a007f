"""ViLT learns all its tasks at once, in the same steps on every mesh."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.models import vilt_pair
from tests.parallel.meshes import make_mesh
from vlp_jax.core import trees
from vlp_jax.core.errors import ConfigError
from vlp_jax.models.outputs import check_outputs, compute_outputs
from vlp_jax.objectives.alignment import WordPatchAlignment
from vlp_jax.objectives.answering import AnswerClasses
from vlp_jax.objectives.hard_negatives import Negatives
from vlp_jax.objectives.masked_lm import MaskedLM
from vlp_jax.objectives.matching import Matching
from vlp_jax.objectives.mixture import Mixture
from vlp_jax.parallel.mesh import batch_devices
from vlp_jax.parallel.sharding import jit_update, place_batch
from vlp_jax.training.accumulate import accumulated
from vlp_jax.training.state import create_sharded, make_state
from vlp_jax.training.step import make_train_step

BATCH = 8
MLM, RETRIEVAL, ANSWERING = vilt_pair.HEADS
IDS = dict(mask_id=1, vocab_size=vilt_pair.VOCABULARY, pad_id=0, bos_id=2, eos_id=3)
WEIGHTS = {
    "masked_lm": 1.0,
    "matching": 1.0,
    "word_patch_alignment": 0.1,
    "answer_classes": 1.0,
}


def model(**settings):
    found = vilt_pair.our_model(RETRIEVAL)
    heads = dict(masked_lm=True, answers=vilt_pair.ANSWERS)
    return found.clone(image=found.image.clone(depth=1), **heads | settings)


def batch():
    """Pairs, and questions about the same pictures."""
    ids, mask = vilt_pair.captions(BATCH)
    rng = np.random.default_rng(5)
    rows = np.arange(BATCH, dtype=np.int32)
    pairs = {
        "image": vilt_pair.pictures(BATCH),
        "text_tokens": ids,
        "text_mask": mask,
        "valid": rows != 5,
        "sample_id": rows,
    }
    labels = rng.integers(-1, vilt_pair.ANSWERS, (BATCH, 10)).astype(np.int32)
    answers = {
        "answer_labels": labels,
        "answer_scores": rng.random((BATCH, 10)).astype(np.float32),
    }
    return {"pairs": pairs, "questions": pairs | answers}


def mixture_on(mesh, fixed=True):
    """fixed: every row's negative is the next one, wherever it is."""
    matching = Matching(mesh, "global" if fixed else "random")
    if fixed:
        matching.derived["negative_index"] = lambda valid: Negatives(
            *[jnp.roll(jnp.arange(len(valid)), -1)] * 2
        )
    objectives = {
        "masked_lm": MaskedLM(**IDS, word_borders=None, share=0.5),
        "matching": matching,
        "word_patch_alignment": WordPatchAlignment(iterations=5),
        "answer_classes": AnswerClasses(),
    }
    return Mixture(objectives, WEIGHTS)


@functools.cache
def train(sizes, steps, fixed=True, rate=0.1):
    """(metrics of each step, final parameters, how often it was compiled)."""
    mesh, vilt = make_mesh(*sizes), model()
    mixture, optimizer = mixture_on(mesh, fixed), optax.adam(rate)
    if fixed:
        optimizer = optax.sgd(rate)
    given = batch()
    init = functools.partial(
        vilt.init,
        images=jnp.asarray(given["pairs"]["image"][:1]),
        tokens=jnp.asarray(given["pairs"]["text_tokens"][:1]),
    )
    make = functools.partial(
        make_state, init, optimizer, mixture.initial_state(), averages=(), seed=0
    )
    state = create_sharded(make, mesh)
    compute = compute_outputs(vilt, mixture.derived)
    compute = accumulated(compute, 1, batch_devices(mesh))
    step = jit_update(make_train_step(compute, mixture, optimizer, 0, {}, {}), state)
    rows = []
    with jax.set_mesh(mesh):
        for _ in range(steps):
            state, metrics = step(state, place_batch(given, mesh))
            rows.append({k: float(v) for k, v in metrics.items()})
    return rows, trees.flatten(state.params), step._cache_size()


@pytest.mark.long
def test_steps_are_the_same_on_every_mesh():
    rows, params, compiled = train((2, 2, 2), 3)
    expected_rows, expected, _ = train((1, 1, 1), 3)
    assert compiled == 1
    for row, expected_row in zip(rows, expected_rows, strict=True):
        assert {f"{name}/loss" for name in WEIGHTS} <= row.keys()
        for name, value in row.items():
            assert value == pytest.approx(expected_row[name], rel=2e-5, abs=1e-5), name
    for path, value in expected.items():
        difference = np.abs(np.asarray(params[path]) - np.asarray(value)).max()
        assert difference <= 2e-5 * np.abs(value).max() + 1e-7, path


def test_the_model_can_meet_what_the_objectives_need():
    arrays = {name: rows.keys() for name, rows in batch().items()}
    for fixed in (True, False):
        mixture = mixture_on(make_mesh(1, 1), fixed)
        check_outputs(model(), mixture.derived, mixture.needs, arrays | {"": set()})
    given = arrays | {"": set()}
    for setting in (dict(matching=False), dict(masked_lm=False), dict(answers=0)):
        with pytest.raises(ConfigError, match="a Vilt has no output"):
            lacking = model(**setting)
            check_outputs(lacking, mixture.derived, mixture.needs, given)


@pytest.mark.long
def test_one_batch_is_learned_by_heart():
    rows, _, _ = train((2, 1, 1), 60, fixed=False, rate=3e-3)
    last = rows[-1]
    assert last["matching/accuracy"] > 0.9
    assert last["masked_lm/loss"] < 0.5 * rows[0]["masked_lm/loss"]
    assert last["word_patch_alignment/loss"] < rows[0]["word_patch_alignment/loss"]
