"""Puts the objects of build.py together to a training run."""

import functools
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from vlp_jax import build, defaults
from vlp_jax.adapting import class_names_of, with_context
from vlp_jax.checkpoint import description
from vlp_jax.checkpoint.steps import kept_step, step_folder
from vlp_jax.checkpoint.storage import CheckpointStore, restore
from vlp_jax.core import trees
from vlp_jax.core.logs import MetricsWriter, say
from vlp_jax.core.wandb import WandbBoard
from vlp_jax.data.lengths import cut, longest_text
from vlp_jax.data.tokenizers import Tokenizer
from vlp_jax.evaluation.row import metric_row
from vlp_jax.feed import steps_of
from vlp_jax.learner import Learner
from vlp_jax.models.predictor import ModelPredictor
from vlp_jax.parallel.hosts import agreed_maximum, check_same
from vlp_jax.parallel.sharding import bytes_per_device, place_batch
from vlp_jax.resuming import Previous
from vlp_jax.settings import check_settings, check_sizes, check_streams, make_plan
from vlp_jax.starting import Start
from vlp_jax.streams import Streams, describe_bad
from vlp_jax.suites import expanded
from vlp_jax.trained import (
    ANSWERS,
    CONFIG,
    DATA,
    PROGRESS,
    TOKENIZER,
    saved_answers,
    saved_tokenizer,
)
from vlp_jax.training.loop import Loop
from vlp_jax.training.nonfinite import NonFinitePolicy
from vlp_jax.training.profile import profile_steps, profiled
from vlp_jax.training.progress import Progress
from vlp_jax.training.sample_log import logging_samples
from vlp_jax.training.state import TrainState, items_of, state_from, variables_of
from vlp_jax.training.watchdog import PATIENT, Watchdog


class TrainingRun:
    """Everything a training run needs, from its config and its folder.

    Building it checks the config; `start` makes or restores the state and `finish`
    runs the loop.

    Args:
      config: of a training run.
      workdir: its folder, which nobody else writes to (checkpoint/lock.py).
      strict: a damaged newest checkpoint ends the run instead of being passed over.
      accept_changes: the run may go on with what makes it another one.
    """

    def __init__(
        self,
        config: ConfigDict,
        workdir: str,
        strict: bool = False,
        accept_changes: bool = False,
    ):
        self.config, self.workdir = config, Path(workdir)
        self.accept_changes, self.changes = accept_changes, []
        check_settings(config)
        self.mesh = build.make_mesh(config)
        check_sizes(config, self.mesh)
        self.streams = Streams(config)
        config.steps = steps_of(config, self.streams.pass_size)
        config.class_names = self.streams.class_names()
        self.plan = make_plan(config)
        self.profile = profile_steps(
            config.profile.first_step, config.profile.steps, self.plan.last_step
        )
        self.preprocessing = build.make_preprocessing(config)
        self.evaluators = build.make_evaluators(expanded(config.evaluation))
        self.previous = Previous.find(self.workdir, strict)
        self.first_step = self.previous.step
        self.initial = Start.of(config)
        self.tokenizer = with_context(config, self._tokenizer())
        self.answers = self._answers()
        self.learner = Learner(
            config, self.mesh, self.preprocessing, self.tokenizer, len(self.answers)
        )
        self._check_objective()
        self.text_lengths = build.make_text_lengths(
            config, self.learner.model, self.tokenizer
        )
        self.samples = self.streams.samples(
            self.preprocessing, self.tokenizer, self.answers
        )
        self.progress = Progress()
        self.predictor: ModelPredictor | None = None
        self._scores: dict[int, dict] = {}  # of the newest evaluation, by its step

    def _tokenizer(self) -> Tokenizer:
        """A tokenizer belongs to the weights of a text tower, and comes with them."""
        if self.first_step:
            return saved_tokenizer(self.previous.folder, self.config)
        brought = self.initial and self.initial.tokenizer(self.config)
        if brought:
            return brought
        texts = self.streams.texts(self.config.tokenizer.train_samples)
        return build.make_tokenizer(self.config, texts)

    def _answers(self) -> tuple[str, ...]:
        """The answers that are classes belong to the weights that tell them apart."""
        kept = ()
        if self.first_step:
            kept = saved_answers(self.previous.folder, self.config)
        elif self.initial:
            kept = self.initial.answers(self.config)
        return kept or self.streams.classes()

    def _check_objective(self) -> None:
        """ConfigError where an objective cannot work on what the run reads."""
        objective = self.learner.objective
        check_streams(objective.streams, self.streams.sizes)
        samples = {name: len(x) for name, x in self.streams.sources.items()}
        objective.check(self.streams.sizes, samples)

    def start(self) -> TrainState:
        """The state to go on from: the newest checkpoint's, or a fresh one.

        A fresh one starts from config.initialise where that is given; what it takes
        is printed. `changes` are then what differs from the checkpoint's run.
        """
        self._files = self._description()
        self._check_processes()
        self.changes = self.previous.changes(self._files, self.accept_changes)
        if self.first_step:
            saved = description.read_json(self.previous.folder, PROGRESS)
            self.progress = Progress.from_dict(saved)
        return self._state(self.first_step)

    def _state(self, step: int) -> TrainState:
        """That of a checkpoint; at step 0 a fresh one."""
        shapes, values = self.learner.state_shapes(), {}
        if step:
            items = restore(step_folder(self.workdir, step), items_of(shapes))
            return state_from(items, self.learner.trains)
        if self.initial:
            run = trees.union(variables_of(shapes))
            values = self.initial.read(run, defaults.resolved(self.config))
        return self.learner.fresh_state(values)

    def roll_back(self, checkpoint: int, step: int) -> TrainState:
        """The state of a checkpoint (0: a fresh one), as that of `step`."""
        self.store.wait()
        state = self._state(kept_step(self.workdir, checkpoint) if checkpoint else 0)
        place = state.step.sharding
        return state.replace(step=jax.device_put(np.int32(step), place))

    def finish(
        self, state: TrainState, preempted: Callable[[int], bool] = lambda steps: False
    ) -> TrainState:
        """Runs the loop to the plan's last step; returns when all is on disk.

        `preempted` tells after a step whether to save and end: Preempted is raised.
        """
        self.previous.set_aside()
        keep = build.keywords(self.config.checkpoint, "every")
        self.store = CheckpointStore(self.workdir, **keep)
        writer = MetricsWriter(self.workdir, self.first_step, self._board())
        plan, batches = self.plan, self.batches()
        watchdog = Watchdog(plan.watchdog, self.workdir)
        loop = Loop(
            plan=plan,
            train_step=self._observed(self.learner.update(state)),
            place=self._place,
            describe_bad=functools.partial(describe_bad, self.samples),
            evaluate=self.evaluate,
            save=self.save,
            roll_back=self.roll_back,
            learning_rate=self.learner.learning_rate,
            writer=writer,
            nonfinite=NonFinitePolicy(plan, self.workdir),
            preempted=preempted,
            watchdog=watchdog,
        )
        with watchdog:
            try:
                with jax.set_mesh(self.mesh):
                    return loop.run(state, batches, self.progress)
            finally:
                watchdog.at("ending, and writing the last checkpoint", PATIENT)
                batches.close()
                writer.close()
                self.store.close()

    def _place(self, arrays: dict) -> dict:
        """Host arrays -> the batch on the devices, its texts cut to a common length."""
        self.store.check()  # a save that fails in the background ends the run soon
        if self.text_lengths:
            longest = agreed_maximum(longest_text(arrays["pairs"]))
            pairs = cut(arrays["pairs"], longest, self.text_lengths)
            arrays = arrays | {"pairs": pairs}
        return place_batch(arrays, self.mesh)

    def _observed(self, step: Callable) -> Callable:
        """The step, profiled and with its samples logged where that is wanted."""
        folder = self.workdir / "profile"
        step = profiled(step, folder, self.profile, self.first_step)
        if self.config.data.log_samples:
            step = logging_samples(step, self.workdir, self.first_step)
        return step

    def _board(self) -> Callable | None:
        """What makes the board of config.wandb, if one is wanted."""
        project = self.config.wandb.project
        if project is None:
            return None
        return functools.partial(WandbBoard, project, self.config.name, self.workdir)

    def batches(self) -> Iterator:
        """Host batches from the run's first step on."""
        return self.streams.batches(self.samples, self.mesh, self.first_step)

    def save(self, step: int, state: TrainState, progress: Progress) -> None:
        counters = {"step": step, **progress.to_dict()}
        files = self._files | {PROGRESS: description.to_json(counters)}
        if step in self._scores:
            files[description.SCORES] = description.to_json(self._scores[step])
        self.store.save(step, items_of(state), files)

    def evaluate(self, state: TrainState) -> dict[str, float | None]:
        """Metrics of every evaluator of the config, named evaluator/metric."""
        variables = variables_of(state, self.config.evaluation.weights)
        variables = self.learner.adapters.merged(variables)
        if self.predictor is None:
            self.predictor = ModelPredictor(
                self.learner.model,
                variables,
                self.preprocessing,
                self.tokenizer,
                self.mesh,
                self.config.evaluation.batch_size,
                self.answers,
                class_names_of(self.config),
            )
        predictor = self.predictor.with_variables(variables)
        row = metric_row(self.evaluators, predictor)
        self._scores = {int(state.step): row}
        best = self.config.checkpoint.keep_best
        if best is not None and best not in row:
            say(f"warning: no metric {best} to keep the best step by")
        return row

    def _resolved_config(self) -> dict:
        """The config as plain JSON values, every default written out."""
        config = defaults.resolved(self.config)
        config.tokenizer.canonicalise = self.tokenizer.canonicalise
        return json.loads(config.to_json_best_effort())

    def _description(self) -> dict[str, bytes]:
        with tempfile.TemporaryDirectory() as folder:
            self.tokenizer.save(folder)
            files = description.read_folder(folder)
        more = {ANSWERS: list(self.answers)} if self.answers else {}
        more[CONFIG] = self._resolved_config()
        more[DATA] = self.streams.fingerprint
        return {f"{TOKENIZER}/{name}": data for name, data in files.items()} | {
            name: description.to_json(content) for name, content in more.items()
        }

    def _check_processes(self) -> None:
        """Every process must train the same model on the same data, word for word."""
        files = sorted(self._files.items())
        check_same(
            {
                "config": self._files[CONFIG],
                "tokenizer": b"".join(x for n, x in files if n.startswith(TOKENIZER)),
                "data": self._files[DATA],
                "list of answers": self._files.get(ANSWERS, b""),
            }
        )

    def bytes_per_device(self, state: TrainState) -> tuple[int, int]:
        """(bytes of the state on one device, bytes of all of it)."""
        return bytes_per_device(state), sum(x.nbytes for x in jax.tree.leaves(state))

    def parameters(self, state: TrainState) -> int:
        return trees.count(variables_of(state)["params"])
