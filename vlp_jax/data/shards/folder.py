"""A folder of shards that one program writes, and goes on with after a stop.

A shard is written under another name and renamed when it is complete, after its
counts: a folder holds whole shards only. Which command they are of, a file beside them
says: the same command goes on with those that are missing, and another is refused.
"""

import dataclasses
import fcntl
import json
import os
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, NamedTuple

from vlp_jax.core.errors import ConfigError, RunError
from vlp_jax.data.fingerprint import difference

NAMED = 20  # bad samples of a shard that are named


@dataclasses.dataclass
class Counts:
    """What became of the samples of a shard, or of all."""

    samples: int = 0
    bad: Counter = dataclasses.field(default_factory=Counter)
    named: dict[str, list[str]] = dataclasses.field(default_factory=dict)

    def add(self, other: "Counts") -> None:
        self.samples += other.samples
        self.bad.update(other.bad)
        for cause, names in other.named.items():
            self.note(cause, *names)

    def note(self, cause: str, *names: str) -> None:
        known = self.named.setdefault(cause, [])
        known += names[: max(0, NAMED - len(known))]

    def add_bad(self, cause: str, name: str) -> None:
        self.bad[cause] += 1
        self.note(cause, name)

    def content(self) -> dict[str, Any]:
        """As JSON has it."""
        left_out = dict(sorted(self.bad.items()))
        return {"samples": self.samples, "left_out": left_out, "names": self.named}

    def lines(self) -> list[str]:
        """What was left out, for people: '3 image_truncated: a.jpg, b.jpg, c.jpg'."""
        return [
            f"{count:,} {cause}: {', '.join(self.named[cause][:3])}"
            for cause, count in sorted(self.bad.items())
        ]


class Layout(NamedTuple):
    """The names of a program's files in a folder; {} stands for a shard's number.

    other: what another command has, in words.
    """

    program: str
    identity: str
    shard: str
    counts: str
    other: str = "other data or settings"

    @property
    def lock(self) -> str:
        return f".{self.program}.lock"


class ShardFolder:
    """The shards of one command; they stay locked until it is left (`with`).

    Args:
      path: the folder; made if it is not there.
      layout: what its files are called.
      count: how many shards there will be.
      own: what the shards follow from, as JSON; of it the 'fingerprint' {part: digest}
        is compared by part.

    Raises ConfigError when the folder holds anything else, or another process is
    writing to it; and RunError, in a `with`, where a file cannot be read or written.
    """

    def __init__(
        self, path: str | Path, layout: Layout, count: int, own: Mapping[str, Any]
    ):
        self.path = Path(path).expanduser()
        self.layout, self.count = layout, count
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = self._locked()
            with ExitStack() as undo:
                undo.enter_context(self._lock)
                self._take(json.loads(json.dumps(own)))  # tuples are lists there
                undo.pop_all()
        except OSError as error:
            problem = f"{path} cannot be written to: {error.strerror}"
            raise ConfigError(f"{problem}; name another folder") from None

    def _locked(self) -> IO:
        """The open file with the lock, which the system lifts when it is closed."""
        lock = open(self.path / self.layout.lock, "w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            problem = f"another {self.layout.program} is writing to {self.path}"
            raise ConfigError(f"{problem}; wait for it") from None
        return lock

    def _take(self, own: dict[str, Any]) -> None:
        """Makes sure that the folder is ours."""
        path = self.path / self.layout.identity
        if not path.exists():
            if any(self.path.glob(f"*{Path(self.layout.shard).suffix}")):
                program = self.layout.program
                problem = f"{self.path} holds shards that {program} has not begun"
                raise ConfigError(f"{problem}; name another folder")
            write_json(path, own)
            return
        try:
            found = json.loads(path.read_text())
            changed = difference(found.pop("fingerprint"), own["fingerprint"])
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ConfigError(f"{path} is damaged; name another folder") from None
        said = [
            f"{key} {found.get(key)!r}"
            for key in sorted((own.keys() | found.keys()) - {"fingerprint"})
            if found.get(key) != own.get(key)
        ]
        if said or changed:
            raise ConfigError(
                f"{self.path} was begun with {self.layout.other} ("
                f"{'; '.join([s[:80] for s in said] + [changed] * bool(changed))}); "
                "repeat these, or name another folder"
            )

    def __str__(self) -> str:
        """'12 in DIR, 3 of them there already'."""
        there = self.count - len(self.missing())
        known = f", {there:,} of them there already" if there else ""
        return f"{self.count:,} in {self.path}{known}"

    def __enter__(self) -> "ShardFolder":
        return self

    def __exit__(self, kind, error, _) -> None:
        self._lock.close()
        if isinstance(error, OSError):
            place = error.filename or self.path
            problem = f"{place} cannot be read or written: {error.strerror}"
            raise RunError(f"{problem}; the same command goes on") from None

    def shard(self, number: int) -> Path:
        return self.path / self.layout.shard.format(number)

    def _counts(self, number: int) -> Path:
        return self.path / self.layout.counts.format(number)

    def missing(self) -> list[int]:
        """The shards that are not there yet."""
        return [
            k
            for k in range(self.count)
            if not (self.shard(k).exists() and self._counts(k).exists())
        ]

    def keep(self, number: int, temporary: Path, counts: Counts) -> None:
        """A shard that is written takes its name, after its counts have theirs."""
        write_json(self._counts(number), counts.content())
        temporary.replace(self.shard(number))

    def counts(self, number: int) -> Counts:
        """Of a shard that is there."""
        found = json.loads(self._counts(number).read_text())
        return Counts(found["samples"], Counter(found["left_out"]), found["names"])

    def total(self) -> Counts:
        """Of all shards that are there, earlier ones too."""
        missing, total = set(self.missing()), Counts()
        for number in range(self.count):
            if number not in missing:
                total.add(self.counts(number))
        return total


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Whole, or not at all."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")
    os.replace(temporary, path)
