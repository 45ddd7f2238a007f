"""Saving and restoring through orbax, behind the few calls that we need.

A checkpoint is a folder named by its step:
    <workdir>/checkpoints/<step>/model/         params and other variables
    <workdir>/checkpoints/<step>/ema/           moving average of params, if kept
    <workdir>/checkpoints/<step>/training/      optimizer and objective state
    <workdir>/checkpoints/<step>/description/   see description.py
"""

import contextlib
from pathlib import Path

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from vlp_jax.checkpoint.description import FOLDER, FilesHandler, SaveFiles
from vlp_jax.core import trees
from vlp_jax.core.errors import ConfigError, RunError
from vlp_jax.core.types import PyTree
from vlp_jax.parallel.hosts import agreed

CHECKPOINTS = "checkpoints"
WEIGHTS = dict.fromkeys(("model", "ema"))  # items that a model can be run with
ITEMS = ("model", "ema", "training")
ADVICE = ". Use the settings that it was saved with, or another workdir"


def committed_steps(workdir: Path | str) -> list[int]:
    """The steps that are completely on disk, oldest first.

    A step that is being written, or that a crash left half written, has another name.
    """
    found = (Path(workdir) / CHECKPOINTS).glob("*")
    return sorted(int(path.name) for path in found if path.name.isdigit())


def newest_step(workdir: Path | str) -> int:
    """The newest step that is completely on disk; 0 without one.

    Process 0 looks: on network file systems others may not see the same yet.
    """
    return agreed(max(committed_steps(workdir), default=0))


def kept_step(workdir: Path | str, step: int) -> int:
    """`step` where that is on disk, else the newest step, as process 0 sees it."""
    steps = committed_steps(workdir)
    return agreed(step if step in steps else max(steps, default=0))


def find_checkpoint(path: Path | str) -> Path:
    """The step folder meant by `path`: itself, or the newest step of a workdir."""
    path = Path(path).absolute()
    if (path / FOLDER).is_dir():
        return path
    step = newest_step(path)
    if not step:
        raise ConfigError(
            f"no checkpoint at {path}; expected the workdir of a training run or one "
            f"of its {CHECKPOINTS}/<step> folders"
        )
    return path / CHECKPOINTS / str(step)


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


def saved_parameters(step_folder: Path, weights: str) -> dict[str, jax.Array]:
    """{path: shape and dtype} of the parameters of a checkpoint, or of their average"""
    check_kept(step_folder, weights)
    with _explained(step_folder, weights), ocp.StandardCheckpointer() as checkpointer:
        tree = checkpointer.metadata(step_folder / weights).item_metadata.tree
    return trees.flatten(tree["params"] if weights == "model" else tree)


def restore_parameters(
    step_folder: Path, weights: str, like: dict[str, jax.ShapeDtypeStruct]
) -> dict[str, jax.Array]:
    """Some of the parameters by path, cast and placed as in `like`; no others are read.

    The shapes in `like` must be those of `saved_parameters`.
    """
    tree = trees.unflatten(like)
    tree = {"params": tree} if weights == "model" else tree
    arguments = ocp.args.PyTreeRestore(
        tree,
        restore_args=ocp.checkpoint_utils.construct_restore_args(tree),
        partial_restore=True,
    )
    handler = ocp.PyTreeCheckpointHandler()
    with _explained(step_folder, weights), ocp.Checkpointer(handler) as checkpointer:
        tree = checkpointer.restore(step_folder / weights, args=arguments)
    return trees.flatten(tree["params"] if weights == "model" else tree)


def restore(step_folder: Path, like: dict[str, PyTree]) -> dict[str, PyTree]:
    """All items of a checkpoint, each shaped and placed as in `like`."""
    saved = [item for item in ITEMS if (step_folder / item).is_dir()]
    if set(saved) != set(like):
        raise ConfigError(
            f"checkpoint {step_folder} holds {', '.join(saved)}, but this run keeps "
            f"{', '.join(like)}{ADVICE}"
        )
    return {item: restore_item(step_folder, item, tree) for item, tree in like.items()}


class CheckpointStore:
    """The checkpoints of one run.

    Args:
      workdir: the run's folder.
      keep: how many of the newest steps stay on disk.
    """

    def __init__(self, workdir: Path | str, keep: int):
        self.folder = Path(workdir).absolute() / CHECKPOINTS
        handlers = {item: ocp.StandardCheckpointHandler() for item in ITEMS}
        handlers[FOLDER] = FilesHandler()
        self._manager = ocp.CheckpointManager(
            self.folder,
            options=ocp.CheckpointManagerOptions(
                preservation_policy=checkpoint_managers.LatestN(n=keep),
                cleanup_tmp_directories=True,
                enable_async_checkpointing=True,
            ),
            item_handlers=handlers,
        )

    def save(
        self, step: int, items: dict[str, PyTree], files: dict[str, bytes]
    ) -> None:
        """Starts to write a step in the background; it appears when complete."""
        args = {k: ocp.args.StandardSave(tree) for k, tree in items.items()}
        args[FOLDER] = SaveFiles(files)
        self._manager.save(step, args=ocp.args.Composite(**args), force=True)

    def wait(self) -> None:
        """Waits until everything is on disk."""
        self._manager.wait_until_finished()

    def close(self) -> None:
        self.wait()
        self._manager.close()
