"""What all ways of launching share: checks, quoting, and calling an engine's tool."""

import abc
import dataclasses
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from vlp_jax.core.errors import ConfigError, check_range

COORDINATOR_PORT = 8476  # where process 0 waits for the others on machines of our own

# The strictest of the engines' rules: a DNS label, of at most 40 characters.
NAME = re.compile(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Images, machines, folders: nothing that a shell, YAML or a flag could mistake.
PLAIN = re.compile(r"[\w./:@%~][\w./:@,=+%*~-]*", re.ASCII)
SHELL = ("setup",)  # settings that are lines of shell and meant to be
AT_LEAST = {
    "nodes": 1,
    "processes_per_node": 1,
    "gpus_per_node": 1,
    "gpus_per_process": 1,
    "chips_per_node": 1,
    "cpus_per_process": 1,
    "cpu_devices": 1,
    "slices": 1,
    "retries": 0,
    "grace_seconds": 1,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job(abc.ABC):
    """A command to launch. Each engine is a subclass, and its fields are its settings.

    command: the words of the program that every process runs. environment: variables
    that it gets besides. follow: the command that shows how a submitted job is doing,
    where it is not done by then.
    """

    command: Sequence[str]
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)

    follow: ClassVar[str | None] = None

    @property
    @abc.abstractmethod
    def text(self) -> str:
        """The file or command, as --print shows it."""

    @abc.abstractmethod
    def submit(self) -> int:
        """Hands it over; returns the exit code."""


class ToolJob(Job):
    """A job that the engine's own command-line tool takes over.

    INSTALL: where the tool is found. tool: the words that submit the job; where it
    reads `text` from a file of the name `file`, the path comes after them.
    """

    INSTALL: ClassVar[str]
    file: ClassVar[str | None] = None
    tool: Sequence[str]

    def submit(self) -> int:
        """Calls the engine's tool; its exit code is ours."""
        tool = list(self.tool)
        if shutil.which(tool[0]) is None:
            raise ConfigError(
                f"{tool[0]!r} is not installed here ({self.INSTALL}); --print shows "
                "what it would be given"
            )
        if self.file is None:
            return subprocess.run(tool).returncode
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, self.file)
            path.write_text(self.text)
            return subprocess.run([*tool, str(path)]).returncode


def checked(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with `command` as words; ConfigError where one is unusable.

    Only `command` and the values of `environment` may hold anything: every engine
    quotes them. The other strings are names, and held to be plain.
    """
    found = dict(settings)
    for key, value in settings.items():
        if key in AT_LEAST:
            check_range(key, value, AT_LEAST[key])
        elif key == "name" and not NAME.fullmatch(value):
            raise ConfigError(
                f"name is {value!r}; expected lower-case letters, digits and '-', a "
                "letter first, at most 40 (clusters make host names of it)"
            )
        elif key == "command":
            found[key] = words_of(value)
        elif key == "environment":
            found[key] = {k: str(v) for k, v in value.items() if v is not None}
            _check_environment(found[key])
        elif isinstance(value, str) and key not in SHELL and not PLAIN.fullmatch(value):
            raise ConfigError(
                f"{key} is {value!r}; expected letters, digits and ./:@,=+%*~- only"
            )
    return found


def words_of(command: str) -> tuple[str, ...]:
    """The words of a command line, quotes resolved and nothing else expanded."""
    try:
        words = tuple(shlex.split(command))
    except ValueError as error:
        raise ConfigError(f"command {command!r}: {error}; close the quote") from None
    if not words or "\0" in command:
        raise ConfigError(f"command is {command!r}; expected a program and its words")
    return words


def _check_environment(environment: Mapping[str, str]) -> None:
    for name, value in environment.items():
        if not VARIABLE.fullmatch(name) or "\0" in value:
            raise ConfigError(
                f"environment has {name!r}: {value!r}; expected a name of letters, "
                "digits and '_', and a value"
            )


def with_environment(environment: Mapping[str, str], command: Sequence[str]) -> str:
    """One shell command that sets the variables for itself only."""
    settings = [f"{name}={value}" for name, value in environment.items()]
    return shlex.join(["env", *settings, *command] if settings else command)


def exports(environment: Mapping[str, str]) -> list[str]:
    """Shell lines that set the variables for all that follows."""
    return [f"export {k}={shlex.quote(v)}" for k, v in environment.items()]


def on_lines(words: Sequence[str], together: int) -> str:
    """A shell command; words after the first `together` stand on their own lines."""
    lines = [shlex.join(words[:together]), *map(shlex.quote, words[together:])]
    return " \\\n    ".join(lines) + "\n"
