"""Puts the objects of build.py together to a training run."""

import functools
import json
import math
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
from ml_collections import ConfigDict

from vlp_jax import build
from vlp_jax.checkpoint import description
from vlp_jax.checkpoint.storage import (
    WEIGHTS,
    CheckpointStore,
    find_checkpoint,
    newest_step,
    restore,
)
from vlp_jax.core import trees
from vlp_jax.core.errors import ConfigError, RunError, check_range
from vlp_jax.core.logs import MetricsWriter, say
from vlp_jax.core.lookup import lookup
from vlp_jax.core.wandb import WandbBoard
from vlp_jax.data.lengths import cut, longest_text
from vlp_jax.data.tokenizers import Tokenizer
from vlp_jax.feed import Feed, steps_of
from vlp_jax.learner import Learner
from vlp_jax.models.predictor import ModelPredictor
from vlp_jax.parallel.hosts import agreed_maximum, check_same
from vlp_jax.parallel.mesh import check_batch_size
from vlp_jax.parallel.sharding import bytes_per_device, place_batch, process_share
from vlp_jax.trained import (
    CONFIG,
    PROGRESS,
    TOKEN_EMBEDDING,
    TOKENIZER,
    checkpoint_config,
    describe_initial,
    saved_tokenizer,
)
from vlp_jax.training.loop import Loop, Plan, Progress
from vlp_jax.training.profile import profile_steps, profiled
from vlp_jax.training.sample_log import logging_samples
from vlp_jax.training.state import TrainState, items_of, state_from, variables_of


def check_settings(config: ConfigDict) -> None:
    """ConfigError for numbers that make no sense, before anything is opened."""
    if config.steps is None and config.epochs is None:
        raise ConfigError(
            "config.steps is not given; set --config.steps=NUMBER, or --config.epochs"
        )
    check_range("steps", config.steps, 1)
    check_range("seed", config.seed, 0, 2**32 - 1)
    check_range("data.threads", config.data.threads, 0)
    check_range("data.workers", config.data.workers, 0)
    check_range("data.max_bad_share", config.data.max_bad_share, 0, 1)
    check_range("accumulation", config.accumulation, 1)
    check_range("checkpoint.keep", config.checkpoint.keep, 1)
    check_range("evaluation.every", config.evaluation.every, 0)
    check_range("evaluation.batch_size", config.evaluation.batch_size, 1)
    check_range("ema_decay", config.ema_decay, 0, 1)
    lookup(WEIGHTS, config.evaluation.weights, "evaluation.weights")
    if config.evaluation.weights == "ema" and config.ema_decay is None:
        raise ConfigError(
            "evaluation.weights is 'ema', but this run keeps no moving average; "
            "set --config.ema_decay=0.999, for example"
        )
    check_range("stop_after", config.stop_after, 1)


def make_plan(config: ConfigDict) -> Plan:
    last = config.steps if config.stop_after is None else config.stop_after
    return Plan(
        total_steps=config.steps,
        last_step=min(config.steps, last),
        batch_size=config.batch_size,
        log_every=config.log_every,
        save_every=config.checkpoint.every,
        evaluate_every=config.evaluation.every or 0,
        max_bad_share=config.data.max_bad_share,
    )


class TrainingRun:
    """Everything a training run needs, from its config and its folder.

    Building it checks the config; `start` makes or restores the state and `finish`
    runs the loop.
    """

    def __init__(self, config: ConfigDict, workdir: str):
        self.config, self.workdir = config, Path(workdir)
        if self.workdir.exists() and not self.workdir.is_dir():
            raise ConfigError(f"--workdir={workdir} is a file; name a folder")
        check_settings(config)
        self.mesh = build.make_mesh(config)
        check_batch_size(config.batch_size, self.mesh, config.accumulation)
        self.feed = Feed(config)
        self.source = self.feed.source
        config.steps = steps_of(config, self.feed.pass_size)
        self.plan = make_plan(config)
        self.profile = profile_steps(
            config.profile.first_step, config.profile.steps, self.plan.last_step
        )
        self.preprocessing = build.make_preprocessing(config)
        self.evaluators = build.make_evaluators(config.evaluation)
        self.first_step = newest_step(workdir)
        self.initial = build.make_initial_weights(config)
        self.tokenizer = self._tokenizer()
        self.learner = Learner(config, self.mesh, self.preprocessing, self.tokenizer)
        self.learner.objective.check(config.batch_size, len(self.source))
        self.text_lengths = build.make_text_lengths(
            config, self.learner.model, self.tokenizer
        )
        self.samples = self.feed.samples(self.preprocessing, self.tokenizer)
        self.progress = Progress()
        self.predictor: ModelPredictor | None = None

    def _tokenizer(self) -> Tokenizer:
        """A tokenizer belongs to the weights of a text tower, and comes with them."""
        if self.first_step:
            return saved_tokenizer(find_checkpoint(self.workdir), self.config)
        if self.initial and self.initial.brings(TOKEN_EMBEDDING):
            return saved_tokenizer(self.initial.folder, self.config)
        return build.make_tokenizer(self.config, self.source)

    def start(self) -> TrainState:
        """The state to go on from: the newest checkpoint's, or a fresh one.

        A fresh one starts from config.initialise where that is given; what it takes
        is printed.
        """
        self._files = self._description()
        self._check_processes()
        shapes = self.learner.state_shapes()
        if self.first_step:
            folder = find_checkpoint(self.workdir)
            items = restore(folder, items_of(shapes))
            self.progress = Progress.from_dict(description.read_json(folder, PROGRESS))
            return state_from(items, self.learner.trains)
        values = {}
        if self.initial:
            values, found = self.initial.read(variables_of(shapes)["params"])
            describe_initial(self.initial, found, build.resolved(self.config))
        return self.learner.fresh_state(values)

    def finish(self, state: TrainState) -> TrainState:
        """Runs the loop to the plan's last step; returns when all is on disk."""
        writer = MetricsWriter(self.workdir, self.first_step, self._board())
        self.store = CheckpointStore(self.workdir, self.config.checkpoint.keep)
        loop = Loop(
            plan=self.plan,
            train_step=self._observed(self.learner.update(state)),
            place=self._place,
            describe_bad=self.samples.describe_bad,
            evaluate=self.evaluate,
            save=self.save,
            learning_rate=self.learner.learning_rate,
            writer=writer,
        )
        batches = self.batches()
        try:
            with jax.set_mesh(self.mesh):
                return loop.run(state, batches, self.progress)
        finally:
            batches.close()
            writer.close()
            self.store.close()

    def _place(self, arrays: dict) -> dict:
        """Host arrays -> the batch on the devices, its texts cut to a common length."""
        if self.text_lengths:
            longest = agreed_maximum(longest_text(arrays))
            arrays = cut(arrays, longest, self.text_lengths)
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
        size = self.config.batch_size
        share = process_share(size, self.mesh)
        return self.feed.batches(self.samples, size, share, self.first_step)

    def save(self, step: int, state: TrainState, progress: Progress) -> None:
        counters = {"step": step, **progress.to_dict()}
        files = self._files | {PROGRESS: description.to_json(counters)}
        self.store.save(step, items_of(state), files)

    def evaluate(self, state: TrainState) -> dict[str, float]:
        """Metrics of every evaluator of the config, named evaluator/metric."""
        variables = variables_of(state, self.config.evaluation.weights)
        if self.predictor is None:
            self.predictor = ModelPredictor(
                self.learner.model,
                variables,
                self.preprocessing,
                self.tokenizer,
                self.mesh,
                self.config.evaluation.batch_size,
            )
        predictor = self.predictor.with_variables(variables)
        row = {}
        for name, evaluator in self.evaluators.items():
            try:
                found = evaluator.run(predictor).metrics
            except (ConfigError, RunError) as error:
                say(f"evaluation {name} failed and is left out: {error}")
                continue
            # JSON has no NaN: a metric that is not defined is null.
            row |= {
                f"{name}/{metric}": float(v) if math.isfinite(v) else None
                for metric, v in found.items()
            }
        if row:
            known = {k: v for k, v in row.items() if v is not None}
            say("evaluation  " + "  ".join(f"{k} {v:.3f}" for k, v in known.items()))
        return row

    def changed_settings(self) -> list[str]:
        """What differs from the config of the checkpoint that the run goes on from."""
        if not self.first_step:
            return []
        before = build.settings(checkpoint_config(self.workdir))
        now = build.settings(ConfigDict(self._resolved_config()))
        return [
            f"{path}: {before.get(path)} -> {now.get(path)}"
            for path in sorted(before.keys() | now.keys())
            if before.get(path) != now.get(path)
        ]

    def _resolved_config(self) -> dict:
        """The config as plain JSON values, every default written out."""
        config = build.resolved(self.config)
        config.tokenizer.canonicalise = self.tokenizer.canonicalise
        return json.loads(config.to_json_best_effort())

    def _description(self) -> dict[str, bytes]:
        with tempfile.TemporaryDirectory() as folder:
            self.tokenizer.save(folder)
            files = description.read_folder(folder)
        return {f"{TOKENIZER}/{name}": data for name, data in files.items()} | {
            CONFIG: description.to_json(self._resolved_config())
        }

    def _check_processes(self) -> None:
        """Every process must train the same model on the same data, word for word."""
        files = [data for name, data in sorted(self._files.items()) if name != CONFIG]
        data = description.to_json(self.feed.fingerprint)
        check_same(
            {
                "config": self._files[CONFIG],
                "tokenizer": b"".join(files),
                "data": data,
            }
        )

    def bytes_per_device(self, state: TrainState) -> tuple[int, int]:
        """(bytes of the state on one device, bytes of all of it)."""
        return bytes_per_device(state), sum(x.nbytes for x in jax.tree.leaves(state))

    def parameters(self, state: TrainState) -> int:
        return trees.count(variables_of(state)["params"])
