"""Which steps a run has on disk, and which of them are as they were saved.

<workdir>/checkpoints/<step>                   complete, with its manifest
<workdir>/checkpoints/<step>.saving...         being written, or left so by a crash
<workdir>/checkpoints/<step>.deleted           being deleted, or left so by a crash
<workdir>/checkpoints/<step>.damaged...        set aside by `train`, for a look at it
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from vlp_jax.checkpoint.description import FOLDER
from vlp_jax.checkpoint.manifest import damage
from vlp_jax.core.errors import ConfigError, RunError
from vlp_jax.core.logs import say
from vlp_jax.parallel.agreement import decided
from vlp_jax.parallel.hosts import together

CHECKPOINTS = "checkpoints"
SAVING, DELETED, DAMAGED = ".saving", ".deleted", ".damaged"
USABLE = ("model", "ema", FOLDER)  # the items of a step that a model is made of
WARNING = "yellow"

T = TypeVar("T")


def committed_steps(workdir: Path | str) -> list[int]:
    """The steps that are completely on disk, oldest first.

    A step that is being written, or that a crash left half written, has another name.
    """
    found = (Path(workdir) / CHECKPOINTS).glob("*")
    return sorted(int(path.name) for path in found if path.name.isdecimal())


def step_folder(workdir: Path | str, step: int) -> Path:
    return Path(workdir).absolute() / CHECKPOINTS / str(step)


def newest_good(
    workdir: Path | str,
    items: tuple[str, ...] | None = None,
    strict: bool = False,
    upto: int | None = None,
) -> tuple[int, dict[int, str]]:
    """(the newest step without damage, what is wrong with those after it).

    Process 0 looks at all files of `items` (None: of all items), in the steps `upto`
    one (None: in all). Step 0: there is none at all. RunError where all are damaged,
    or with `strict` where the newest one is.
    """
    step, damaged = decided(lambda: _newest_good(workdir, items, strict, upto))
    return step, {int(step): wrong for step, wrong in damaged}


def _newest_good(workdir: Path | str, items, strict, upto) -> tuple[int, list]:
    damaged: dict[int, str] = {}

    def left() -> list[int]:
        steps = committed_steps(workdir)
        return [s for s in steps if s not in damaged and s <= (upto or s)]

    while steps := left():
        folder = step_folder(workdir, steps[-1])
        wrong = damage(folder, items)
        if not wrong:
            return steps[-1], list(damaged.items())
        if not folder.exists():  # a training that goes on has just deleted it
            continue
        damaged[steps[-1]] = wrong
        if strict:
            break
    if not damaged:
        return 0, []
    listed = "; ".join(f"step {step}: {wrong}" for step, wrong in damaged.items())
    folder = Path(workdir).absolute() / CHECKPOINTS
    if strict:
        raise RunError(
            f"the newest checkpoint in {folder} is damaged ({listed}). Restore the "
            "file, or leave out --strict to go on from the step before it"
        )
    raise RunError(
        f"no checkpoint in {folder} is intact ({listed}). Restore the files from a "
        "copy, or begin anew: with another workdir, or after removing that folder"
    )


@functools.cache  # said once, however often a program looks
def _warn(text: str) -> None:
    say(f"warning: {text}", style=WARNING)


def warn_damaged(workdir: Path | str, step: int, damaged: dict[int, str]) -> None:
    """Names the steps that are damaged, each in a line, and the one used instead."""
    for other, wrong in damaged.items():
        folder = step_folder(workdir, other)
        _warn(f"checkpoint {folder} is damaged ({wrong}); step {step} is used instead")


def kept_step(workdir: Path | str, step: int) -> int:
    """`step` where that is on disk and good, else the newest before it that is."""
    newest, damaged = newest_good(workdir, upto=step)
    if not newest:
        raise RunError(
            f"step {step} is gone from {Path(workdir) / CHECKPOINTS}, and so are those "
            "before it"
        )
    if newest < step and step not in damaged:
        damaged |= {step: "it is gone"}
    warn_damaged(workdir, newest, damaged)
    return newest


def find_checkpoint(path: Path | str, items: tuple[str, ...] = USABLE) -> Path:
    """The step folder meant by `path`: itself, or the newest good step of a workdir.

    The files of `items` are compared with the manifest. A damaged step of a workdir is
    passed over with a warning; one that was named is a RunError.
    """
    path = Path(path).absolute()
    if decided(lambda: _is_step(path)):
        wrong = decided(lambda: damage(path, items))
        if wrong:
            raise RunError(
                f"checkpoint {path} is damaged ({wrong}). Restore the file from a copy "
                "or use another step"
            )
        return path
    step, damaged = newest_good(path, items)
    if not step:
        raise ConfigError(
            f"no checkpoint at {path}; expected the workdir of a training run or one "
            f"of its {CHECKPOINTS}/<step> folders"
        )
    warn_damaged(path, step, damaged)
    return step_folder(path, step)


def _is_step(path: Path) -> bool:
    named = path.parent.name == CHECKPOINTS and path.name.isdecimal() and path.is_dir()
    return named or (path / FOLDER).is_dir()


def read_checkpoint(
    path: Path | str, read: Callable[[Path], T], items: tuple[str, ...] = USABLE
) -> T:
    """`read(step folder)` for the one that `path` means (see find_checkpoint).

    A training beside this program may delete that step while it is read; then the
    newest one there is now is read in its place.
    """
    while True:
        folder = find_checkpoint(path, items)
        try:
            return read(folder)
        except (ConfigError, RunError):
            named = folder == Path(path).absolute()
            if named or folder.is_dir() or together():  # together: all would have to
                raise
        say(f"step {folder.name} was deleted while it was read; looking again")


def set_aside(workdir: Path | str, damaged: dict[int, str]) -> None:
    """Renames damaged steps, so that they can be saved again and still be looked at."""

    def rename() -> list[str]:
        kept = []
        for step in damaged:
            folder, number = step_folder(workdir, step), 1
            aside = folder.with_name(f"{step}{DAMAGED}")
            while aside.exists():
                number += 1
                aside = folder.with_name(f"{step}{DAMAGED}-{number}")
            folder.rename(aside)
            kept.append(str(aside))
        return kept

    for aside in decided(rename):
        say(f"  kept      {aside} (remove it when you have looked at it)")
