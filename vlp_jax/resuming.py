"""Going on from a checkpoint: from which step, and whether it is still the same run."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from vlp_jax import build, defaults, recipe
from vlp_jax.checkpoint import description
from vlp_jax.checkpoint.steps import (
    newest_good,
    set_aside,
    step_folder,
    warn_damaged,
)
from vlp_jax.core.errors import ConfigError
from vlp_jax.data.fingerprint import difference
from vlp_jax.settings import SECTIONS
from vlp_jax.trained import CONFIG, DATA

# Settings that a run may go on with in another form: what it learns stays the same, or
# (sources of data) is compared by content. All others are refused, later ones as well.
FREE = (
    "name",
    "steps",
    "epochs",
    "stop_after",
    "log_every",
    "data.threads",
    "data.workers",
    "data.text_lengths",
    "data.log_samples",
    "data.max_bad_share",
    "initialise",
    "mesh",
    "zero",
    "accumulation",
    "wandb",
    "profile",
    "nonfinite",
    "watchdog",
    "checkpoint",
    "evaluation",
)
# Of a tower or an objective: how it computes, or (size) a name for other settings.
SOURCES = tuple(f"{s}.{k}." for s in SECTIONS.values() for k in ("train", "mixture"))
WHERE = ("root", "urls", "index")  # of a source: its content is compared by itself
HOW = ("size", "remat", "scan", "attention", "implementation", "tile_size")
OPEN_ENDED = "bounds."  # recipes add keys to this section
SHOWN = 8  # changes in an error message


@dataclasses.dataclass(frozen=True)
class Previous:
    """The step that a run goes on from, and the damaged ones after it.

    step: 0 where the run is fresh. damaged: step -> what is wrong with it.
    """

    workdir: Path
    step: int
    damaged: Mapping[int, str]

    @classmethod
    def find(cls, workdir: Path, strict: bool) -> "Previous":
        """Checks every file; warns, and with `strict` raises RunError, of damage."""
        step, damaged = newest_good(workdir, strict=strict)
        warn_damaged(workdir, step, damaged)
        return cls(workdir, step, damaged)

    @property
    def folder(self) -> Path:
        return step_folder(self.workdir, self.step)

    def changes(self, files: Mapping[str, bytes], accept: bool) -> list[str]:
        """What differs between the checkpoint and the run, in lines to print.

        files: the run's own description. ConfigError, with what would make it another
        run, unless `accept`.
        """
        if not self.step:
            return []
        now = {name: json.loads(files[name]) for name in (CONFIG, DATA)}
        before = {name: description.read_json(self.folder, name) for name in now}
        free, refused = changed_settings(before[CONFIG], now[CONFIG])
        data = changed_data(before[DATA], now[DATA])
        if (refused or data) and not accept:
            raise ConfigError(_refusal(refused, data))
        return [*refused, *free, *data]

    def set_aside(self) -> None:
        """Makes room for the steps that will be saved again."""
        if self.damaged:
            set_aside(self.workdir, self.damaged)


def changed_settings(before: Mapping, now: Mapping) -> tuple[list[str], list[str]]:
    """(changes that may be, those that make it another run), 'path: old -> new'.

    before, now: resolved configs as JSON has them. A setting that an older version did
    not have counts only where it is not at its default, one that is gone does not.
    """
    default = build.settings(ConfigDict(completed(before)))
    before, now = (build.settings(ConfigDict(config)) for config in (before, now))
    free, refused = [], []
    for path in sorted(before.keys() | now.keys()):
        old = before.get(
            path, None if path.startswith(OPEN_ENDED) else default.get(path)
        )
        new = now.get(path)
        if old == new:
            continue
        known = path in now or path.startswith(OPEN_ENDED)
        (free if _is_free(path) or not known else refused).append(
            f"{path}: {old} -> {new}"
        )
    return free, refused


def completed(before: Mapping) -> dict:
    """A resolved config of old with the settings that came later, at their defaults.

    These are the defaults of the kinds that it names itself.
    """
    whole = recipe.pretraining().to_dict()
    for section in SECTIONS.values():
        for name in before.get(section, {}).get("mixture", {}):
            whole[section]["mixture"][name] = recipe.mixed().to_dict()
    config = ConfigDict(_joined(whole, before))
    return json.loads(defaults.resolved(config).to_json_best_effort())


def _joined(whole: Mapping, own: Mapping) -> dict:
    """`whole` with what `own` has in its place, section by section."""
    both = dict(whole)
    for key, value in own.items():
        sections = isinstance(value, Mapping) and isinstance(both.get(key), Mapping)
        both[key] = _joined(both[key], value) if sections else value
    return both


def _is_free(path: str) -> bool:
    name = path.rpartition(".")[2]
    if path.startswith(SOURCES):
        return name in WHERE
    section = any(path == free or path.startswith(f"{free}.") for free in FREE)
    return section or (path.startswith(("model.", "objectives.")) and name in HOW)


def changed_data(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between two fingerprints {samples, parts}: a line, or none."""
    old, new = before["samples"], now["samples"]
    counts = f"{old:,} -> {new:,} samples" if old != new else ""
    parts = difference(before["parts"], now["parts"])
    found = "; ".join(text for text in (counts, parts) if text)
    return [f"data: {found}"] if found else []


def _refusal(settings: list[str], data: list[str]) -> str:
    said = []
    if settings:
        more = f"; {len(settings) - SHOWN} more" if len(settings) > SHOWN else ""
        said.append(f"with other settings ({'; '.join(settings[:SHOWN])}{more})")
    if data:
        said.append(f"on other data ({data[0].removeprefix('data: ')})")
    return (
        f"this run was begun {' and '.join(said)}\n"
        "Use the old ones, or another --workdir; --accept_changes goes on with the new"
    )
