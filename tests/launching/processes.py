"""Real processes of a job on this machine, and who of them still runs."""

import time
from pathlib import Path

from vlp_jax.launching import make_job
from vlp_jax.launching.spec import spec_of

TIME_LIMIT = 60  # seconds; each test takes one or two
# Notes each start in a file of its process, then does what `$1` says.
STARTS = 'echo "$$" >> "starts.$JAX_PROCESS_ID"; n=$(wc -l < "starts.$JAX_PROCESS_ID");'


def local(script: str, **settings):
    """The job that runs a shell script; see STARTS for what it knows."""
    spec = spec_of("local", name="test", logs="logs", **settings)
    job = make_job(spec.to_dict() | {"command": "sh"})
    return type(job)(**{**vars(job), "command": ("sh", "-c", STARTS + script)})


def starts(number: int = 0) -> int:
    path = Path(f"starts.{number}")
    return len(path.read_text().splitlines()) if path.exists() else 0


def process_ids() -> list[int]:
    """Of all processes that were started, and of what they noted in `helper`."""
    found = [*Path(".").glob("starts.*"), *Path(".").glob("helper*")]
    return [int(line) for path in found for line in path.read_text().split()]


def running(process_id: int) -> bool:
    """Whether it lives; a zombie does not."""
    try:
        state = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2]
    except FileNotFoundError:
        return False
    return state.split()[0] not in "ZX"


def assert_nobody_is_left() -> None:
    assert process_ids()
    limit = time.monotonic() + 5  # the kernel may take a moment
    while any(map(running, process_ids())) and time.monotonic() < limit:
        time.sleep(0.02)
    assert not list(filter(running, process_ids()))


def wait_for(path: str) -> None:
    limit = time.monotonic() + TIME_LIMIT
    while not Path(path).exists():
        assert time.monotonic() < limit, f"{path} never came"
        time.sleep(0.02)
