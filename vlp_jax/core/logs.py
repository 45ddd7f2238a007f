"""What a run says: lines for people, rows for machines."""

import contextlib
import json
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from vlp_jax.core.errors import RunError
from vlp_jax.core.types import Source

console = Console(highlight=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, soft_wrap=True)

METRICS_FILE = "metrics.jsonl"
LINE_SECONDS = 10  # between the lines of a long count in a log

T = TypeVar("T")


def silence() -> None:
    """From now on this process neither talks nor writes: process 0 of the run does."""
    console.quiet = True


def talks() -> bool:
    """Whether this process is the one that talks and writes."""
    return not console.quiet


def say(text: str = "", style: str | None = None) -> None:
    """One line for the person who started the run."""
    console.print(text, style=style, markup=False)


def shortened(text: str, most: int) -> str:
    """A text of which at most so many characters are shown."""
    return text if len(text) <= most else f"{text[:most]} ..."


def size_of(source: Source) -> str:
    """'1,000 samples (left out: 3 caption_missing)'."""
    dropped = getattr(source, "dropped", None) or {}
    left_out = ", ".join(f"{n:,} {cause}" for cause, n in sorted(dropped.items()))
    return f"{len(source):,} samples" + (f" (left out: {left_out})" if dropped else "")


def read_rows(workdir: Path | str) -> list[dict[str, Any]]:
    """The metric rows of a run; a row torn by a crash is left out."""
    return list(whole_rows(Path(workdir) / METRICS_FILE))


def whole_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file of JSON lines; none without a file.

    Torn lines are left out, and so is whatever has no step.
    """
    if not path.exists():
        return
    with path.open(errors="replace") as file:
        for line in file:
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                continue
            if isinstance(row, dict) and isinstance(row.get("step"), int):
                yield row


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turns what the file system refuses into a RunError."""
    try:
        yield
    except OSError as error:
        raise RunError(
            f"metrics cannot be written to {folder} ({error.strerror}). Checkpoints "
            "are intact; make room, or repair what is wrong there: the same command "
            "then goes on from the newest one"
        ) from error


class RowFile:
    """A file of JSON lines that is added to, without its rows after a step.

    RunError where it cannot be written.
    """

    def __init__(self, path: Path, first_step: int):
        self.folder = path.parent
        temporary = path.with_suffix(".tmp")
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            with temporary.open("w") as file:
                for row in whole_rows(path):
                    if row["step"] <= first_step:
                        file.write(json.dumps(row) + "\n")
            temporary.replace(path)
            # Unbuffered: what a full disk refuses is not tried again at the end.
            self._file = path.open("ab", buffering=0)

    def write(self, row: dict[str, Any]) -> None:
        line = json.dumps(row).encode() + b"\n"
        with writing(self.folder):
            while line:  # a first write may take what there is room for
                line = line[self._file.write(line) :]

    def close(self) -> None:
        self._file.close()


class _TensorBoard:
    """TensorBoard's event file, written in the calling thread.

    tensorboardX's SummaryWriter has a thread for it, which a full disk ends: the run
    would then wait for it for ever.
    """

    def __init__(self, folder: Path, first_step: int):
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto import event_pb2
        from tensorboardX.summary import scalar

        self.folder, self._event, self._scalar = folder, event_pb2.Event, scalar
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._file = EventsWriter(str(folder / "events"))
        # What an earlier run wrote from this step on is not shown.
        start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self._write(first_step + 1, file_version="brain.Event:2")
        self._write(first_step + 1, session_log=start)

    def _write(self, step: int, **content: Any) -> None:
        event = self._event(step=step, wall_time=time.time(), **content)
        with writing(self.folder):
            self._file.write_event(event)

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self._write(step, summary=self._scalar(name, value))

    def flush(self) -> None:
        with writing(self.folder):
            self._file.flush()

    def close(self) -> None:
        with contextlib.suppress(OSError):  # said before, by the flush of a row
            self._file.close()


class MetricsWriter:
    """JSON lines in <workdir>/metrics.jsonl and TensorBoard in <workdir>/tensorboard.

    A run that goes on from a checkpoint first drops the rows after its step: they
    will be written again, and so none is lost and none stands twice. Writes nothing
    where another process does. Raises RunError where a file cannot be written.

    Args:
      workdir: the run's folder.
      first_step: the step it goes on from.
      board: () -> another board beside TensorBoard, such as core/wandb.WandbBoard.
    """

    def __init__(
        self,
        workdir: Path | str,
        first_step: int,
        board: Callable[[], Any] | None = None,
    ):
        self._rows = None
        if not talks():
            return
        more = [board()] if board is not None else []  # first: it may refuse
        workdir = Path(workdir)
        self._rows = RowFile(workdir / METRICS_FILE, first_step)
        self._boards = [_TensorBoard(workdir / "tensorboard", first_step), *more]

    def write(
        self, step: int, metrics: dict[str, float], timing: dict[str, float]
    ) -> None:
        """One row. Timing stands apart: it is all that differs between equal runs."""
        if self._rows is None:
            return
        row = {"step": step, **metrics}
        if timing:
            row["timing"] = timing
        self._rows.write(row)
        shown = {k: v for k, v in metrics.items() if v is not None}
        shown |= {f"timing/{name}": value for name, value in timing.items()}
        for board in self._boards:
            for name, value in shown.items():
                board.add_scalar(name, value, step)
            board.flush()

    def close(self) -> None:
        if self._rows is not None:
            self._rows.close()
            for board in self._boards:
                board.close()


def duration(seconds: float) -> str:
    """'1 h 02 min', '3 min 20 s' or '12 s'."""
    if not math.isfinite(seconds):
        return "?"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"


class ProgressReport:
    """A bar on a terminal; in a log, one plain line per call of `line`."""

    def __init__(self, total: int, first_step: int):
        self._bar = None
        if talks() and sys.stdout.isatty():
            self._bar = Progress(
                TextColumn("step {task.completed}/{task.total}"),
                BarColumn(),
                TextColumn("{task.fields[said]}"),
                TimeRemainingColumn(),
                console=console,
            )
            self._task = self._bar.add_task("train", total=total, said="compiling")
            self._bar.update(self._task, completed=first_step)
            self._bar.start()

    def advance(self, step: int) -> None:
        if self._bar:
            self._bar.update(self._task, completed=step)

    def line(self, text: str, plain: str) -> None:
        """`text` beside the bar, or `plain` as a line of its own."""
        if self._bar:
            self._bar.update(self._task, said=text)
        elif talks():
            print(plain, flush=True)

    def close(self) -> None:
        if self._bar:
            self._bar.stop()


class _Speed(ProgressColumn):
    """'1,234 images/s' beside a bar."""

    def __init__(self, unit: str):
        super().__init__()
        self.unit = unit

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed or 0:,.0f} {self.unit}")


def track(
    things: Iterable[T], total: int, what: str, speed: str | None = None
) -> Iterator[T]:
    """Passes things on and says how many have been: '  shards indexed 12/331'.

    A bar on a terminal; in a log a line every LINE_SECONDS, and one at the end. speed:
    the unit, such as 'images/s', in which it is said how fast that was.
    """
    if talks() and sys.stdout.isatty():
        columns = [_Speed(speed)] if speed else []
        bar = Progress(*Progress.get_default_columns(), *columns, console=console)
        with bar:
            yield from bar.track(things, total, description=what)
        return
    start = said = time.monotonic()
    for count, thing in enumerate(things, 1):
        yield thing
        now = time.monotonic()
        if count == total or now - said > LINE_SECONDS:
            said, rate = now, count / max(now - start, 1e-9)
            fast = f", {rate:,.0f} {speed}" if speed else ""
            say(f"  {what} {count:,}/{total:,}{fast}")
