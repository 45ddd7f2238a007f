"""How far programs have come, what they have written, and how they end."""

import time
from pathlib import Path

from tests.end_to_end.conftest import TIME_LIMIT


def wait_until(condition, *processes) -> None:
    deadline = time.monotonic() + TIME_LIMIT
    while not condition():
        assert time.monotonic() < deadline
        assert all(process.poll() is None for process in processes)
        time.sleep(0.002)


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def assert_failed(found, *said: str) -> None:
    assert found.code == 1, found
    assert found.err.startswith("error: ") and len(found.err.splitlines()) <= 2
    missing = [words for words in said if words not in found.err]
    assert not missing, f"{missing} not in: {found.err}"
    assert "Traceback" not in found.out + found.err
