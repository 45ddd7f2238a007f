"""Real processes of a job on this machine, and who of them still runs."""

from pathlib import Path

from tests.processes import is_alive, wait_until
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


def assert_nobody_is_left() -> None:
    assert process_ids()
    # The kernel may take a moment.
    wait_until(lambda: not any(map(is_alive, process_ids())), seconds=5)


def wait_for(path: str) -> None:
    wait_until(Path(path).exists, seconds=TIME_LIMIT)
