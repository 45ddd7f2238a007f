"""Processes that tests start: waiting for what they do, and who of them still lives."""

import subprocess
import time
from pathlib import Path

TIME_LIMIT = 300  # seconds; far above what anything takes


def wait_until(
    condition, *processes, seconds: float = TIME_LIMIT, every: float = 0.002
) -> None:
    """Looks at a condition until it holds; none of the processes may end before."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"still not so after {seconds} s"
        ended = [process.poll() for process in processes]
        assert not any(code is not None for code in ended), f"exit codes {ended}"
        time.sleep(every)


def is_alive(process_id: int) -> bool:
    """Whether it lives; a zombie does not."""
    try:
        state = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2]
    except OSError:
        return False
    return state.split()[0] not in "ZX"


def data_workers(parent: int) -> list[int]:
    """Process ids of the data workers that a process started."""
    found = subprocess.run(
        ["ps", "-o", "pid=,args=", "--ppid", str(parent)],
        capture_output=True,
        text=True,
    ).stdout
    lines = [line.split(maxsplit=1) for line in found.splitlines()]
    return [int(pid) for pid, words in lines if "vlp_jax.data.workers" in words]
