"""Steps that are not finite change nothing, and only so many of them are borne."""

import functools
import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.parallel.tiny_clip import batch_of, tiny_init, tiny_model
from tests.training.plans import plan
from vlp_jax.core import trees
from vlp_jax.core.errors import RunError
from vlp_jax.core.types import Need, Term
from vlp_jax.models.outputs import compute_outputs
from vlp_jax.objectives.contrastive import Contrastive
from vlp_jax.objectives.mixture import Mixture
from vlp_jax.parallel.mesh import MeshSpec, batch_devices
from vlp_jax.parallel.sharding import LAYOUT, ZERO, jit_update, place_batch
from vlp_jax.training import nonfinite
from vlp_jax.training.accumulate import accumulated
from vlp_jax.training.nonfinite import NonFinitePolicy, Started, keep_if
from vlp_jax.training.optimizer import adamw
from vlp_jax.training.progress import Progress
from vlp_jax.training.schedules import learning_rate
from vlp_jax.training.state import create_sharded, make_state
from vlp_jax.training.step import make_train_step

SIZE = 32

# ---- in the train step


@jax.custom_vjp
def line(x, value, slope):
    """`value`, whatever its derivative by x is said to be."""
    return value


line.defvjp(
    lambda x, value, slope: (value, slope),
    lambda slope, g: (g * slope, jnp.zeros(()), jnp.zeros(())),
)


class Poison:
    """A loss of chosen value and slope at chosen steps, else 0. Counts its calls."""

    needs = (Need("logit_scale"),)
    scope = "global"

    def __init__(self, bad: dict[int, tuple[float, float]]):
        self.bad = bad

    def initial_state(self):
        return {"calls": jnp.zeros((), jnp.int32)}

    def __call__(self, outputs, step, state):
        value = slope = jnp.zeros(())
        for number, pair in self.bad.items():
            now = step == number - 1
            value = jnp.where(now, pair[0], value)
            slope = jnp.where(now, pair[1], slope)
        loss = line(outputs[self.needs[0]], value, slope)
        return Term(loss, jnp.ones(()), {}, {"calls": state["calls"] + 1})


def init(key):
    """The tiny model's variables, and one that counts batches."""
    return {**tiny_init()(key), "counts": {"batches": jnp.zeros((), jnp.int32)}}


def compute(variables, needs, batch, key):
    live = dict(variables["live"])
    counts = live.pop("counts")
    outputs, others = compute_outputs(tiny_model())({"live": live}, needs, batch, key)
    counts = {"batches": counts["batches"] + 1}
    return outputs, {**others, "counts": counts}


def states(bad, without=(), mesh=None, devices=1, parts=1, layout=LAYOUT):
    """States (on the host) and metrics of four steps, and the compiled step.

    `without`: steps that are passed over.
    """
    mesh = (mesh or MeshSpec()).make(jax.devices()[:devices])
    mixture = Mixture(
        {"contrastive": Contrastive(mesh), "poison": Poison(bad)},
        {"contrastive": 1.0, "poison": 1.0},
    )
    optimizer = adamw(learning_rate(10, peak=0.01, warmup_steps=2))
    make = functools.partial(
        make_state, init, optimizer, mixture.initial_state(), averages=("ema",), seed=0
    )
    state = create_sharded(make, mesh, layout)
    step = jit_update(
        make_train_step(
            accumulated(compute, parts, batch_devices(mesh)),
            mixture,
            optimizer,
            seed=0,
            bounds={"logit_scale": (0.0, 4.6)},
            decays={"ema": 0.9},
        ),
        state,
    )
    found, metrics = [trees.flatten(jax.device_get(state))], []
    with jax.set_mesh(mesh):
        for number in range(4):
            if number + 1 in without:
                state = state.replace(step=state.step + 1)
                found.append(None)
                continue
            state, row = step(state, place_batch(batch_of(number, SIZE), mesh))
            found.append(trees.flatten(jax.device_get(state)))
            metrics.append(jax.device_get(row))
    return found, metrics, step


LOSS, GRADIENT, OVERFLOW = (math.nan, 0.0), (0.0, math.nan), (0.0, math.inf)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (LOSS, {}),
        pytest.param(GRADIENT, {}, marks=pytest.mark.long),
        (OVERFLOW, {"mesh": MeshSpec(2, 4), "devices": 8, "layout": ZERO}),
        pytest.param(
            LOSS,
            {"mesh": MeshSpec(8), "devices": 8, "parts": 4},
            marks=pytest.mark.long,
        ),
    ],
    ids=["loss", "gradient", "sharded", "in micro-batches"],
)
def test_a_step_that_is_not_finite_changes_nothing(kind, settings):
    found, metrics, step = states({2: kind, 3: kind}, **settings)
    assert [m["nonfinite"] for m in metrics] == [0, 1, 2, 0]
    assert [int(s["step"]) for s in found] == [0, 1, 2, 3, 4]
    assert [int(s["nonfinite"]) for s in found] == [0, 0, 1, 2, 0]
    for name in ("objective_state/poison/calls", "opt_state/1/count"):
        assert [int(s[name]) for s in found] == [0, 1, 1, 1, 2], name
    per_step = settings.get("parts", 1)
    batches = [int(s["variables/counts/batches"]) for s in found]
    assert batches == [per_step * n for n in (0, 1, 1, 1, 2)]
    kept = found[1].keys() - {"step", "nonfinite"}
    assert {path.split("/")[0] for path in kept} == {
        "params",
        "variables",
        "opt_state",
        "objective_state",
        "ema",
    }
    for path in kept:
        assert found[3][path].tobytes() == found[1][path].tobytes(), path
    moved = [p for p in kept if (found[4][p] != found[3][p]).any()]
    assert len(moved) > 0.8 * len(kept)
    assert all(np.isfinite(leaf).all() for leaf in found[4].values())
    assert step._cache_size() == 1


@pytest.mark.long
def test_it_is_as_if_it_had_never_been_but_time_went_on():
    """Data and learning rate of the steps after it are those of their number."""
    found, left_out = states({2: LOSS, 3: GRADIENT})[0], states({}, without=(2, 3))[0]
    assert found[4].keys() == left_out[4].keys() and int(found[4]["step"]) == 4
    for path, leaf in left_out[4].items():
        assert found[4][path].tobytes() == leaf.tobytes(), path
    whole = states({})[0]
    assert (found[4]["params/logit_scale"] != whole[2]["params/logit_scale"]).any()


def test_keep_if_takes_keys_and_integers():
    old = {"key": jax.random.key(1), "n": jnp.int32(3), "same": jnp.ones(2)}
    new = {"key": jax.random.key(2), "n": jnp.int32(4), "same": old["same"]}
    for finite, expected in ((True, new), (False, old)):
        found = keep_if(jnp.asarray(finite), new, old)
        assert found["same"] is old["same"]
        assert int(found["n"]) == int(expected["n"])
        assert (jax.random.key_data(found["key"])).tolist() == (
            jax.random.key_data(expected["key"]).tolist()
        )


# ---- in the loop


PLAN = plan(total_steps=90, last_step=90, rows={"pairs": 4})


def started(step, count, loss=math.nan, norm=math.nan):
    metrics = {"loss": loss, "gradient_norm": norm, "nonfinite": count}
    ids = jnp.arange(4) + 100 * step
    return Started.of(step, metrics, {"pairs": {"sample_id": ids}, "other": {}})


def test_so_many_in_a_row_ask_for_a_rollback(tmp_path, capsys):
    policy, progress = NonFinitePolicy(PLAN, tmp_path), Progress()
    ask = [
        policy.wants_rollback(started(step, count), progress)
        for step, count in enumerate((1, 2, 0, 0, 1, 2, 3), start=1)
    ]
    assert ask == [False] * 6 + [True]
    # The step that runs while the third is looked at is lost as well.
    assert (progress.skipped_updates, progress.rollbacks) == (6, 1)
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "step 1: the loss is nan: update skipped"
    assert len(said) == 5


def test_what_is_wrong_is_the_loss_or_else_the_gradient(capsys, tmp_path):
    policy, progress = NonFinitePolicy(PLAN, tmp_path), Progress()
    policy.wants_rollback(started(7, 1, loss=2.0, norm=math.inf), progress)
    said = "step 7: the gradient_norm is inf: update skipped"
    assert capsys.readouterr().out.strip() == said


@pytest.mark.parametrize("good", [True, False])
def test_when_rollbacks_do_not_help_a_report_is_written(tmp_path, good):
    policy, progress = NonFinitePolicy(PLAN, tmp_path), Progress(rollbacks=1)
    if good:
        policy.wants_rollback(started(20, 0, 1.5, 0.1), progress)
    policy.wants_rollback(started(21, 1), progress)
    policy.wants_rollback(started(22, 2), progress)
    assert not list(tmp_path.iterdir())
    with pytest.raises(RunError) as caught:
        policy.wants_rollback(started(23, 3), progress)
    said = str(caught.value)
    assert (
        "the loss is nan at step 23" in said
        and "after 3 such steps in a row and 1 rollbacks" in said
    )
    assert "learning_rate.peak" in said and str(tmp_path / nonfinite.REPORT) in said
    assert json.loads((tmp_path / "nonfinite.json").read_text()) == {
        "steps": [21, 23],
        "first_of_them": {
            "loss": "nan",
            "gradient_norm": "nan",
            "positions": {"pairs": [80, 83]},
            "sample_ids": {"pairs": [2100, 2101, 2102, 2103]},
        },
        "last_finite": {"step": 20, "loss": 1.5} if good else None,
        "skipped_updates": 3,
        "rollbacks": 1,
    }
    assert [path.name for path in tmp_path.iterdir()] == ["nonfinite.json"]
