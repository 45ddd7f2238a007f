"""Jobs of the specs under launch/, and words that a shell would take apart."""

import shlex
import subprocess
from pathlib import Path

import pytest

from vlp_jax.core.errors import ConfigError
from vlp_jax.launching import make_job

ROOT = Path(__file__).parents[2]
SPECS = sorted(path.stem for path in (ROOT / "launch").glob("*.py"))
GOLDEN = Path(__file__).with_name("golden")


def load(name: str):
    """The spec of launch/<name>.py."""
    found: dict = {}
    exec((ROOT / "launch" / f"{name}.py").read_text(), found)
    return found["get_config"]()


def job(way: str, /, **changed):
    spec = load(way)
    spec.update(changed)
    return make_job(spec.to_dict())


def check_refused(way: str, changed: dict, said: str) -> None:
    """A spec with these settings ends in a ConfigError that says so."""
    with pytest.raises(ConfigError) as error:
        _ = job(way, **changed).text
    assert said in str(error.value)


HOSTILE = (
    "it's",
    'a "b" c',
    "$(touch RAN)",
    "`touch RAN`",
    "; touch RAN #",
    "$HOME $$ $(HOME) ${HOME}",
    "{x} %s \\ \\n * ~ !",
    "--flag=a b",
    "",
)
LINES = "two\nlines: - {yaml}\n  # $(touch RAN)"


def hostile(name: str, words=(*HOSTILE, LINES)):
    variables = {f"V{i}": word for i, word in enumerate(words)}
    command = shlex.join(["program", *words])
    return job(name, command=command, environment=variables), variables


def bash(text: str, folder: Path, **environment: str) -> int:
    """Runs a script in a folder where nothing may appear."""
    folder.mkdir(exist_ok=True)
    settings = [f"{key}={value}" for key, value in environment.items()]
    command = ["env", *settings, "bash", "-c", text]
    code = subprocess.run(command, cwd=folder).returncode
    assert not list(folder.iterdir())
    return code
