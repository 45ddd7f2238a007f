"""The train step of vlp_jax, as benchmarks/step.py asks for it."""

import functools
import json
import sys
import time
from pathlib import Path

import jax
import numpy as np
import optax

from benchmarks.peers.side import LENGTH, MEAN, STD, VOCABULARY, pairs, serve
from vlp_jax.build import init_function
from vlp_jax.core import trees
from vlp_jax.models.outputs import compute_outputs
from vlp_jax.models.text import TextTransformer
from vlp_jax.models.vit import ViT
from vlp_jax.models.vlm import TwoTower
from vlp_jax.objectives.contrastive import Contrastive
from vlp_jax.objectives.mixture import Mixture
from vlp_jax.parallel.mesh import MeshSpec, batch_devices
from vlp_jax.parallel.sharding import jit_update, place_batch
from vlp_jax.porting import open_clip_clip
from vlp_jax.porting.weights import to_theirs
from vlp_jax.training.accumulate import accumulated
from vlp_jax.training.optimizer import adamw
from vlp_jax.training.state import create_sharded, make_state
from vlp_jax.training.step import make_train_step


def make_model(task: dict) -> TwoTower:
    shared = {"activation": task["activation"], "dtype": task["dtype"]}
    return TwoTower(
        image=ViT(image_size=task["image_size"], **task["image"], **shared),
        text=TextTransformer(
            vocab_size=VOCABULARY,
            length=LENGTH,
            eos_id=VOCABULARY - 1,
            **task["text"],
            **shared,
        ),
        embedding_size=task["embedding_size"],
        image_mean=MEAN,
        image_std=STD,
    )


class Step:
    """The compiled train step, its state and one batch."""

    def __init__(self, task: dict):
        self.steps, self.mesh = task["steps"], MeshSpec().make()
        model = make_model(task)
        mixture = Mixture({"contrastive": Contrastive(self.mesh)}, {"contrastive": 1.0})
        settings = dict(task["optimizer"])
        rate = optax.constant_schedule(settings.pop("learning_rate"))
        optimizer = adamw(rate, **settings, clip_norm=0)
        make = functools.partial(
            make_state,
            init_function(model, task["image_size"], LENGTH),
            optimizer,
            mixture.initial_state(),
            averages=(),
            seed=0,
        )
        self.state = create_sharded(make, self.mesh)
        images, tokens = pairs(task["batch"], task["image_size"])
        arrays = {
            "image": images,
            "text_tokens": tokens,
            "text_mask": np.arange(LENGTH) <= tokens.argmax(1, keepdims=True),
            "valid": np.ones(len(images), bool),
        }
        self.batch = place_batch({"pairs": arrays}, self.mesh)
        compute = accumulated(
            compute_outputs(model), task["parts"], batch_devices(self.mesh)
        )
        bounds = {"logit_scale": (0.0, 4.6051702)}
        step = make_train_step(compute, mixture, optimizer, 0, bounds, {})
        with jax.set_mesh(self.mesh):
            step = jit_update(step, self.state)
            self.step = step.lower(self.state, self.batch).compile()

    def save(self, task: dict) -> None:
        """The weights, for the peers."""
        params = {k: np.asarray(v) for k, v in trees.flatten(self.state.params).items()}
        weights = to_theirs(open_clip_clip.rules(task), params)
        np.savez(Path(task["folder"]) / "weights.npz", **weights)

    def _next(self) -> jax.Array:
        """One step; its loss."""
        self.state, metrics = self.step(self.state, self.batch)
        return metrics["loss"]

    def run(self) -> dict:
        """Some steps on the one batch: seconds and CPU seconds a step, losses.

        One step goes before, untimed: a side that waited has to warm up again.
        """
        losses = [self._next()]
        jax.block_until_ready(self.state)
        start, used = time.perf_counter(), time.process_time()
        losses += [self._next() for _ in range(self.steps)]
        jax.block_until_ready(self.state)
        seconds = (time.perf_counter() - start) / self.steps
        used = (time.process_time() - used) / self.steps
        return {
            "seconds": seconds,
            "cpu_seconds": used,
            "losses": [float(x) for x in losses],
        }


def main() -> None:
    task = json.loads(sys.argv[1])
    step = Step(task)
    if "folder" in task:
        step.save(task)
    leaves, program = jax.tree.leaves(step.state.params), step.step
    about = {
        "versions": f"jax {jax.__version__}",
        "platform": jax.devices()[0].platform,
        "parameters": sum(x.size for x in leaves),
        "temporary": program.memory_analysis().temp_size_in_bytes,
    }
    serve(about, {"run": step.run})


if __name__ == "__main__":
    main()
