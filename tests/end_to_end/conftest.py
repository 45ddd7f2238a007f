"""Programs as a person starts them: real processes, their output in files."""

import functools
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
TINY = Path(__file__).with_name("tiny.py")
TIME_LIMIT = 300  # seconds; far above what any of them takes


class Finished(NamedTuple):
    code: int
    out: str
    err: str

    def check(self) -> "Finished":
        assert self.code == 0, f"exit code {self.code}\n{self.out[-2000:]}\n{self.err}"
        return self


class Programs:
    """Starts `python -m vlp_jax.<name>` in the repository, as users do."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.started: list[subprocess.Popen] = []

    def start(
        self, name: str, *flags: str, devices: int = 1, **variables: str
    ) -> subprocess.Popen:
        """A process in a group of its own; `wait` returns what it printed.

        `variables` are added to its environment.
        """
        environment = os.environ | {
            "JAX_PLATFORMS": "cpu",
            "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "COLUMNS": "80",
        }
        environment |= variables
        number = len(self.started)
        with (
            open(self.folder / f"{number}.out", "w") as out,
            open(self.folder / f"{number}.err", "w") as err,
        ):
            process = subprocess.Popen(
                [sys.executable, "-m", f"vlp_jax.{name}", *flags],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        process.number = number
        self.started.append(process)
        return process

    def wait(self, process: subprocess.Popen) -> Finished:
        code = process.wait(TIME_LIMIT)
        out, err = (self.folder / f"{process.number}.{end}" for end in ("out", "err"))
        return Finished(code, out.read_text(), err.read_text())

    def __call__(self, name: str, *flags: str, devices: int = 1) -> Finished:
        return self.wait(self.start(name, *flags, devices=devices))

    def kill(self, process: subprocess.Popen) -> None:
        """kill -9 to the process and whatever it started."""
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(TIME_LIMIT)

    def end(self) -> None:
        for process in self.started:
            if process.poll() is None:
                self.kill(process)


@pytest.fixture(scope="session")
def program(tmp_path_factory):
    programs = Programs(tmp_path_factory.mktemp("output"))
    yield programs
    programs.end()


class Run(NamedTuple):
    workdir: Path
    finished: Finished


@pytest.fixture(scope="session")
def tiny_run(program, tmp_path_factory) -> Run:
    """The run of tiny.py from start to end, for all tests to look at."""
    workdir = tmp_path_factory.mktemp("tiny") / "run"
    found = program("train", f"--config={TINY}", f"--workdir={workdir}").check()
    return Run(workdir, found)


@pytest.fixture(scope="session")
def write_recipe():
    """Writes a recipe into a folder: tiny.py's, then lines that change `config`."""

    def write(folder: Path, *lines: str) -> Path:
        text = f"""\
            import runpy

            def get_config():
                config = runpy.run_path({str(TINY)!r})["get_config"]()
            """
        body = "".join(f"    {line}\n" for line in (*lines, "return config"))
        path = folder / "changed.py"
        path.write_text("\n".join(x[12:] for x in text.splitlines()) + "\n" + body)
        return path

    return write


@pytest.fixture
def recipe_file(tmp_path, write_recipe):
    """The same, into the folder of the test."""
    return functools.partial(write_recipe, tmp_path)
