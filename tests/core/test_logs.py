"""Metric rows: none lost, none twice, whatever a crash left behind."""

import errno
import io
import json
import os
import re
from collections import Counter

import pytest
from rich.console import Console

from vlp_jax.core import logs
from vlp_jax.core.errors import RunError
from vlp_jax.core.logs import METRICS_FILE, MetricsWriter, duration, read_rows, size_of


def write(workdir, first_step: int, steps) -> None:
    writer = MetricsWriter(workdir, first_step)
    for step in steps:
        writer.write(step, {"loss": step / 7}, {"seconds_per_step": 0.5})
    writer.close()


def steps(workdir) -> list[int]:
    return [row["step"] for row in read_rows(workdir)]


def test_rows_come_back_as_they_were(tmp_path):
    write(tmp_path / "run", 0, [1, 2])
    rows = read_rows(tmp_path / "run")
    timing = {"seconds_per_step": 0.5}
    assert rows == [
        {"step": 1, "loss": 1 / 7, "timing": timing},
        {"step": 2, "loss": 2 / 7, "timing": timing},
    ]


def test_no_file_means_no_rows(tmp_path):
    assert read_rows(tmp_path) == []


def test_rows_after_the_checkpoint_are_written_again(tmp_path):
    write(tmp_path, 0, range(1, 8))
    write(tmp_path, 5, [6, 7, 8])
    assert steps(tmp_path) == list(range(1, 9))


def test_a_run_without_a_checkpoint_starts_anew(tmp_path):
    write(tmp_path, 0, range(1, 4))
    write(tmp_path, 0, [1])
    assert steps(tmp_path) == [1]


@pytest.mark.parametrize("kept", [1, 10, -1])
def test_a_torn_row_is_left_out(tmp_path, kept):
    write(tmp_path, 0, range(1, 4))
    path = tmp_path / METRICS_FILE
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:2]) + lines[2].rstrip("\n")[:kept])
    assert steps(tmp_path) == [1, 2]
    write(tmp_path, 2, [3, 4])
    assert steps(tmp_path) == [1, 2, 3, 4]
    assert all(json.loads(line) for line in path.read_text().splitlines())


def test_what_is_no_row_is_left_out(tmp_path):
    path = tmp_path / METRICS_FILE
    path.write_bytes(b'12\n{"a": 1}\n\xff\n["step"]\n{"step": 4}\n')
    assert read_rows(tmp_path) == [{"step": 4}]
    MetricsWriter(tmp_path, 4).close()
    assert path.read_bytes() == b'{"step": 4}\n'


def test_a_row_without_its_line_end_is_whole(tmp_path):
    write(tmp_path, 0, [1, 2])
    path = tmp_path / METRICS_FILE
    path.write_text(path.read_text().rstrip("\n"))
    write(tmp_path, 2, [3])
    assert steps(tmp_path) == [1, 2, 3]


def test_rows_are_on_disk_at_once(tmp_path):
    """A checkpoint that is saved after a row was written must find it there."""
    writer = MetricsWriter(tmp_path, 0)
    writer.write(1, {"loss": 1.0}, {})
    assert steps(tmp_path) == [1]
    writer.close()


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.2, "0 s"),
        (59.6, "1 min 00 s"),
        (200, "3 min 20 s"),
        (3720, "1 h 02 min"),
        (float("inf"), "?"),
    ],
)
def test_duration(seconds, said):
    assert duration(seconds) == said


def test_size_of_a_source():
    class Source(list):
        pass

    source = Source(range(1200))
    assert size_of(source) == "1,200 samples"
    source.dropped = Counter(caption_missing=2, class_missing=1)
    assert size_of(source) == (
        "1,200 samples (left out: 2 caption_missing, 1 class_missing)"
    )


# ---- files that cannot be written


@pytest.mark.fault("F8")
def test_rows_without_room_are_an_explained_error(tmp_path):
    """The first write takes what there is room for, the next says why not all."""
    write(tmp_path, 0, [1])
    writer = MetricsWriter(tmp_path, 1)
    file, room = writer._rows._file, [7]

    class Full:
        close = file.close

        def write(self, line):
            if not room:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return file.write(line[: room.pop()])

    writer._rows._file = Full()
    with pytest.raises(RunError, match=r"written to .*\(No space left on device\)"):
        writer.write(2, {"loss": 1.0}, {})
    writer.close()
    assert steps(tmp_path) == [1]


@pytest.mark.fault("F8")
@pytest.mark.parametrize("name", [METRICS_FILE, "tensorboard"])
def test_files_that_cannot_be_made(tmp_path, name):
    blocked = tmp_path / name
    blocked.mkdir() if name == METRICS_FILE else blocked.touch()
    with pytest.raises(RunError, match="metrics cannot be written to"):
        MetricsWriter(tmp_path, 0)


def test_tensorboard_reads_what_is_written(tmp_path):
    """Its format, with the mark from which on an earlier run's values are hidden."""
    from tensorboardX.proto.event_pb2 import Event, SessionLog

    write(tmp_path, 3, [4])
    (path,) = (tmp_path / "tensorboard").iterdir()
    content, events = path.read_bytes(), []
    while content:  # length (8 bytes), its checksum (4), the event, its checksum (4)
        size = int.from_bytes(content[:8], "little")
        events.append(Event.FromString(content[12 : 12 + size]))
        content = content[16 + size :]
    starts = [e.step for e in events if e.session_log.status == SessionLog.START]
    assert starts == [4]
    found = {v.tag: (e.step, v.simple_value) for e in events for v in e.summary.value}
    assert found == {
        "loss": (4, pytest.approx(4 / 7)),
        "timing/seconds_per_step": (4, 0.5),
    }


def test_a_count_in_a_log(capsys, monkeypatch):
    assert list(logs.track(iter("abc"), 3, "letters read")) == [*"abc"]
    assert capsys.readouterr().out == "  letters read 3/3\n"
    monkeypatch.setattr(logs, "LINE_SECONDS", -1)
    assert sum(logs.track(range(4), 4, "numbers added", "numbers/s")) == 6
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert re.fullmatch(r"  numbers added 3/4, [\d,]+ numbers/s", lines[2])


def test_a_count_on_a_terminal(monkeypatch):
    screen = Console(file=io.StringIO(), force_terminal=True, width=100)
    monkeypatch.setattr(logs, "console", screen)
    monkeypatch.setattr(logs.sys.stdout, "isatty", lambda: True)
    assert sum(logs.track(range(4), 4, "numbers added", "numbers/s")) == 6
    shown = screen.file.getvalue()
    assert "numbers added" in shown and "100%" in shown and "numbers/s" in shown
