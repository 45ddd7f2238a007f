"""What learns in a run: the model, its objective and optimizer, and their train step.

Training builds it with a tokenizer and gives it data; a plan builds it from shapes
alone. Both get the same step.
"""

from collections.abc import Callable, Mapping

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from vlp_jax import build
from vlp_jax.adapting import make_adapters
from vlp_jax.core.lookup import call
from vlp_jax.core.types import ComputeOutputs
from vlp_jax.data.tokenizers import Tokenizer
from vlp_jax.data.transforms.image import Preprocessing
from vlp_jax.models.outputs import compute_outputs
from vlp_jax.parallel.mesh import batch_devices
from vlp_jax.parallel.sharding import LAYOUT, ZERO, jit_update
from vlp_jax.training import schedules
from vlp_jax.training.accumulate import accumulated
from vlp_jax.training.optimizer import OPTIMIZERS
from vlp_jax.training.state import (
    TrainState,
    create_sharded,
    make_state,
    state_shapes,
)
from vlp_jax.training.step import make_train_step
from vlp_jax.transfer.initialise import with_values


class Learner:
    """Model, objective, optimizer and train step of a config on a mesh.

    Args:
      config: of a training run.
      mesh: the devices of the run.
      preprocessing: gives the image size.
      tokenizer: gives vocab_size, length and the ids of special tokens.
      answers: how many answers to questions are classes.
    """

    def __init__(
        self,
        config: ConfigDict,
        mesh: Mesh,
        preprocessing: Preprocessing,
        tokenizer: Tokenizer,
        answers: int = 0,
    ):
        self.config, self.mesh = config, mesh
        self.layout = ZERO if config.zero else LAYOUT
        self.learning_rate = call(
            schedules.learning_rate,
            build.keywords(config.learning_rate),
            "learning_rate",
            total_steps=config.steps,
        )
        self.objective = build.make_objective(config, mesh, tokenizer)
        self.bounds = build.make_bounds(config)
        self.model = build.make_model(config, preprocessing, tokenizer, answers)
        self._init = build.init_function(
            self.model, preprocessing.image_size, tokenizer.length
        )
        build.check_needs(config, self.objective, self.model, self._init)
        self.adapters = make_adapters(config, tokenizer)
        self._init = self.adapters.extended(self._init)
        self.trains = build.make_trainable(config, self._init)
        self.optimizer = build.pick(
            OPTIMIZERS,
            config.optimizer,
            "optimizer",
            learning_rate=self.learning_rate,
            rate_factor=build.make_rate_factor(config, self._init),
        )
        # Of the averages that the state keeps; an objective may ask for the second.
        kept = {
            "ema": config.ema_decay is not None,
            "momentum": self.objective.needs_momentum,
        }
        self.decays = {name: config[f"{name}_decay"] for name in kept if kept[name]}

    def _make(self, values: Mapping[str, jax.Array] | tuple = ()) -> TrainState:
        return make_state(
            self.adapters.begun(with_values(self._init, dict(values)), dict(values)),
            self.optimizer,
            self.objective.initial_state(),
            self.decays,
            self.config.seed,
            self.trains,
        )

    def state_shapes(self) -> TrainState:
        """Shapes, dtypes and places of the state; no array is made."""
        return state_shapes(self._make, self.mesh, self.layout)

    def fresh_state(self, values: Mapping[str, jax.Array]) -> TrainState:
        """A state in its shards; `values`: by path, parameters not to initialise."""
        return create_sharded(self._make, self.mesh, self.layout, (values,))

    def compute(self) -> ComputeOutputs:
        """What turns the objective's needs into arrays."""
        return self.adapters.computing(
            compute_outputs(self.model, self.objective.derived)
        )

    def update(self, state: TrainState) -> Callable:
        """The jitted step for states placed as `state` is (shapes will do).

        Called and lowered under `jax.set_mesh(mesh)`.
        """
        compute = accumulated(
            self.compute(),
            self.config.accumulation,
            batch_devices(self.mesh),
        )
        step = make_train_step(
            compute,
            self.objective,
            self.optimizer,
            seed=self.config.seed,
            bounds=self.bounds,
            decays=self.decays,
        )
        return jit_update(step, state)
