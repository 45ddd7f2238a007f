"""A loop whose parts write down that they were called. The step is a counter."""

import dataclasses
import itertools
import math

import jax.numpy as jnp

from tests.training.plans import PLAN
from vlp_jax.data.loader import HostBatch
from vlp_jax.training.loop import Loop
from vlp_jax.training.nonfinite import NonFinitePolicy
from vlp_jax.training.progress import Progress


def nan_at(*steps: int) -> dict[int, float]:
    return dict.fromkeys(steps, math.nan)


@dataclasses.dataclass
class State:
    step: int
    nonfinite: int = 0


class Recorder:
    """A loop whose parts write down that they were called."""

    def __init__(
        self, plan=PLAN, losses=None, norms=None, bad=None, stop=None, folder=None
    ):
        self.losses, self.norms, self.bad = losses or {}, norms or {}, bad or {}
        self.events, self.rows, self.saved, self.fetched = [], [], {}, 0
        self.seen, self.stop = [], stop  # seen: by the watchdog
        self.loop = Loop(
            plan=plan,
            train_step=self.train_step,
            place=lambda arrays: arrays,
            describe_bad=lambda: "image_empty: a.jpg, b.jpg",
            evaluate=self.evaluate,
            save=self.save,
            roll_back=self.roll_back,
            learning_rate=lambda step: step / 100,
            writer=self,
            nonfinite=NonFinitePolicy(plan, folder),
            preempted=lambda steps: steps == stop,
            watchdog=self,
        )

    def at(self, what: str, patience: float = 1) -> None:
        self.seen.append((what, patience))

    def batches(self, first_step: int):
        for step in itertools.count(first_step + 1):
            self.fetched += 1
            arrays = {"pairs": {"sample_id": jnp.arange(2) + step}}
            yield HostBatch(arrays, self.bad.get(step, {}))

    def train_step(self, state: State, batch):
        step = state.step + 1
        assert batch["pairs"]["sample_id"].tolist() == [step, step + 1]
        loss, norm = self.losses.get(step, 1 / step), self.norms.get(step, 0.5)
        finite = math.isfinite(loss) and math.isfinite(norm)
        nonfinite = 0 if finite else state.nonfinite + 1
        return State(step, nonfinite), {
            "loss": jnp.float32(loss),
            "gradient_norm": jnp.array(norm),
            "nonfinite": jnp.int32(nonfinite),
        }

    def roll_back(self, checkpoint: int, step: int) -> State:
        self.events.append(f"roll back to {checkpoint} at {step}")
        return State(step)

    def evaluate(self, state: State):
        self.events.append(f"evaluate {state.step}")
        return {"retrieval/recall": state.step / 10}

    def write(self, step, metrics, timing):
        self.events.append(f"write {step}")
        self.rows.append({"step": step, **metrics, "timing": timing})

    def save(self, step, state, progress):
        last = step in (self.stop, self.loop.plan.last_step)
        assert state.step == step and (last or not state.nonfinite)
        self.events.append(f"save {step}")
        self.saved[step] = progress.to_dict()

    def run(self, first_step: int = 0, progress: Progress | None = None) -> State:
        batches = self.batches(first_step)
        return self.loop.run(State(first_step), batches, progress or Progress())
