"""Saving and restoring through orbax, behind the few calls that we need.

A checkpoint is a folder named by its step:
    <workdir>/checkpoints/<step>/model/         params and other variables
    <workdir>/checkpoints/<step>/ema/           moving average of params, if kept
    <workdir>/checkpoints/<step>/training/      optimizer and objective state
    <workdir>/checkpoints/<step>/description/   see description.py
    <workdir>/checkpoints/<step>/manifest.json  see manifest.py

It gets that name only when all of this is on disk: orbax commits <step>.saving, the
manifest is written into it, and then it is renamed.
"""

import contextlib
import functools
import json
import os
import re
import shutil
import sys
import threading
import time
from pathlib import Path

import jax
import orbax.checkpoint as ocp

from vlp_jax.checkpoint.description import FOLDER, SCORES, FilesHandler, SaveFiles
from vlp_jax.checkpoint.manifest import write_manifest
from vlp_jax.checkpoint.steps import (
    CHECKPOINTS,
    DELETED,
    SAVING,
    committed_steps,
)
from vlp_jax.core import trees
from vlp_jax.core.errors import ConfigError, RunError
from vlp_jax.core.types import PyTree
from vlp_jax.parallel import hosts
from vlp_jax.parallel.agreement import decided

WEIGHTS = dict.fromkeys(("model", "ema"))  # items that a model can be run with
ITEMS = ("model", "ema", "momentum", "training")
ADVICE = ". Use the settings that it was saved with, or another workdir"


def restore_item(step_folder: Path, item: str, like: PyTree) -> PyTree:
    """One item of a checkpoint as arrays shaped, typed and placed as `like`.

    Raises ConfigError naming what is missing, unexpected or of another shape: orbax
    would cast other dtypes without a word. Raises RunError when files are damaged.
    """
    with _explained(step_folder, item), ocp.StandardCheckpointer() as checkpointer:
        saved = checkpointer.metadata(step_folder / item).item_metadata.tree
        trees.check_same(like, saved, f"{item} of checkpoint {step_folder}", ADVICE)
        return checkpointer.restore(step_folder / item, like)


@contextlib.contextmanager
def _explained(step_folder: Path, item: str):
    """Turns what breaks while reading into a RunError."""
    try:
        yield
    except ConfigError:
        raise
    except Exception as error:  # whatever orbax and its storage make of broken files
        if not step_folder.exists():
            raise RunError(
                f"checkpoint {step_folder} was deleted while it was read (a training "
                "goes on there); the same command takes the newest one"
            ) from error
        raise RunError(
            f"checkpoint {step_folder} is damaged: {item} cannot be read "
            f"({type(error).__name__}). Remove that folder to use the step before it"
        ) from error


def check_kept(step_folder: Path, weights: str) -> None:
    """ConfigError unless a checkpoint has weights 'model' or 'ema', as asked for."""
    if weights == "ema" and not (step_folder / "ema").is_dir():
        raise ConfigError(
            f"{step_folder} keeps no moving average; train with --config.ema_decay or "
            "use weights = 'model'"
        )


def _collections(step_folder: Path, weights: str) -> dict[str, PyTree]:
    """Shapes and dtypes of an item by collection; an average is a single tree."""
    with _explained(step_folder, weights), ocp.StandardCheckpointer() as checkpointer:
        tree = checkpointer.metadata(step_folder / weights).item_metadata.tree
    return tree if weights == "model" else {"": tree}


def saved_parameters(step_folder: Path, weights: str) -> dict[str, jax.Array]:
    """{path: shape and dtype} of the variables of a checkpoint, or of their average"""
    check_kept(step_folder, weights)
    return trees.flatten(trees.union(_collections(step_folder, weights)))


def restore_parameters(
    step_folder: Path, weights: str, like: dict[str, jax.ShapeDtypeStruct]
) -> dict[str, jax.Array]:
    """Some of the variables by path, cast and placed as in `like`; no others are read.

    The shapes in `like` must be those of `saved_parameters`.
    """
    tree = trees.unflatten(like)
    if weights == "model":
        parts = trees.apart(tree, _collections(step_folder, weights))
        tree = {name: part for name, part in parts.items() if part}
    wanted = ocp.checkpoint_utils.construct_restore_args(tree)
    arguments = ocp.args.PyTreeRestore(tree, restore_args=wanted, partial_restore=True)
    handler = ocp.PyTreeCheckpointHandler()
    with _explained(step_folder, weights), ocp.Checkpointer(handler) as checkpointer:
        tree = checkpointer.restore(step_folder / weights, args=arguments)
    return trees.flatten(trees.union(tree) if weights == "model" else tree)


def restore(step_folder: Path, like: dict[str, PyTree]) -> dict[str, PyTree]:
    """All items of a checkpoint, each shaped and placed as in `like`."""
    saved = [item for item in ITEMS if (step_folder / item).is_dir()]
    if set(saved) != set(like):
        raise ConfigError(
            f"checkpoint {step_folder} holds {', '.join(saved)}, but this run keeps "
            f"{', '.join(like)}{ADVICE}"
        )
    return {item: restore_item(step_folder, item, tree) for item, tree in like.items()}


def kept_steps(
    steps: list[int], keep: int, keep_every: int | None, scores: dict[int, float]
) -> set[int]:
    """Which of the steps, oldest first, stay on disk.

    The newest `keep`, all multiples of `keep_every`, and the best by `scores` (the
    newer of two that are equal).
    """
    kept = set(steps[-keep:])
    if keep_every is not None:
        kept |= {step for step in steps if step % keep_every == 0}
    if scores:
        kept.add(max(scores, key=lambda step: (scores[step], step)))
    return kept


@functools.cache  # once a process
def _quieten_tensorstore() -> None:
    """A write that fails ends orbax's event loop, and others then miss it aloud.

    tensorstore prints a traceback for each of them; the error itself is raised.
    """
    shown = sys.unraisablehook

    def show(found) -> None:
        if str(found.exc_value) != "Event loop is closed":
            shown(found)

    sys.unraisablehook = show


class CheckpointStore:
    """The checkpoints that one run writes.

    Args:
      workdir: the run's folder.
      keep: how many of the newest steps stay on disk.
      keep_every: steps that are multiples of this one stay for ever; None: none do.
      keep_best: the metric whose best step stays; high is good, unless it is a loss.
    """

    def __init__(
        self,
        workdir: Path | str,
        keep: int,
        keep_every: int | None = None,
        keep_best: str | None = None,
    ):
        self.workdir = Path(workdir).absolute()
        self.folder = self.workdir / CHECKPOINTS
        self.keep, self.keep_every, self.keep_best = keep, keep_every, keep_best
        decided(self._prepare)
        _quieten_tensorstore()
        handlers = {item: ocp.StandardCheckpointHandler() for item in ITEMS}
        handlers[FOLDER] = FilesHandler()
        self._checkpointer = ocp.AsyncCheckpointer(
            ocp.CompositeCheckpointHandler(**handlers)
        )
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None

    def save(
        self, step: int, items: dict[str, PyTree], files: dict[str, bytes]
    ) -> None:
        """Starts to write a step in the background; it appears when complete.

        Raises RunError when this step, or the one before it, cannot be written.
        """
        self.wait()
        args = {k: ocp.args.StandardSave(tree) for k, tree in items.items()}
        args[FOLDER] = SaveFiles(files)
        folder = self.folder / f"{step}{SAVING}"
        self._step = step
        try:
            self._checkpointer.save(folder, ocp.args.Composite(**args), force=True)
        except Exception as error:
            self._explain(error)
        self._thread = threading.Thread(target=self._finish, args=(step, folder))
        self._thread.start()

    def check(self) -> None:
        """Raises RunError when what was written in the background has failed."""
        if self._error is not None:
            error, self._error = self._error, None
            self._explain(error)

    def wait(self) -> None:
        """Waits until the last step is on disk; RunError when it cannot be."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self.check()

    def close(self) -> None:
        """Waits until everything is on disk; RunError when it cannot be."""
        try:
            self.wait()
        finally:
            self._checkpointer.close()

    def _prepare(self) -> None:
        """Makes the folder and clears away what a crash left half done."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for path in self.folder.glob("*"):
                if DELETED in path.name:
                    shutil.rmtree(path, ignore_errors=True)
                elif SAVING in path.name:
                    shutil.rmtree(path)
        except OSError as error:
            raise RunError(
                f"checkpoints cannot be written to {self.folder}: {error.strerror} "
                f"({error.filename})"
            ) from None

    def _finish(self, step: int, folder: Path) -> None:
        """In a thread of its own: waits for orbax, then names the step.

        Process 0 does so for all: orbax tells it when the others have written theirs.
        """
        try:
            self._checkpointer.wait_until_finished()
            if jax.process_index() == 0:
                write_manifest(folder)
                folder.rename(self.folder / str(step))
                self._delete_old()
        except Exception as error:  # raised by the next call from the run itself
            self._error = error

    def _delete_old(self) -> None:
        """Renamed first: nobody takes a step that is half deleted for a whole one."""
        steps = committed_steps(self.workdir)
        kept = kept_steps(steps, self.keep, self.keep_every, self._scores(steps))
        for step in steps:
            if step not in kept:
                gone = self.folder / f"{step}{DELETED}-{time.time_ns()}"
                (self.folder / str(step)).rename(gone)
                # On NFS a file that somebody reads stays: a later start removes it.
                shutil.rmtree(gone, ignore_errors=True)

    def _scores(self, steps: list[int]) -> dict[int, float]:
        """How good each step is by `keep_best`; those without that metric are out."""
        sign = -1 if (self.keep_best or "").endswith("loss") else 1
        scores = {}
        for step in steps if self.keep_best else ():
            path = self.folder / str(step) / FOLDER / SCORES
            with contextlib.suppress(OSError, ValueError):
                value = json.loads(path.read_text()).get(self.keep_best)
                if value is not None:
                    scores[step] = sign * value
        return scores

    def _explain(self, error: Exception) -> None:
        """Raises the RunError that says why a step is not on disk."""
        if hosts.lost(error.__cause__ or error):  # orbax makes a time-out of it
            raise error.__cause__ or error
        number = re.search(r"os_error_code='(\d+)'", str(error))
        if number:  # tensorstore writes a page around it
            reason = os.strerror(int(number[1]))
        elif isinstance(error, OSError) and error.strerror:
            reason = error.strerror
        else:
            reason = f"{type(error).__name__}: {error}"[:300]
        newest = max(committed_steps(self.workdir), default=None)
        intact = f"step {newest} is intact" if newest else "no step was saved before it"
        raise RunError(
            f"step {self._step} could not be saved in {self.folder} ({reason}); "
            f"{intact}. Make room, or repair what is wrong there: the same command "
            "then goes on from the newest step"
        ) from error
