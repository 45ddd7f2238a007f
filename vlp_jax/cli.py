"""What all programs share: flags, exit codes, and errors without tracebacks."""

import os
import re
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

from vlp_jax.core.errors import (
    CONFIG_WRONG,
    FAILED,
    PREEMPTED,
    ConfigError,
    Preempted,
    RunError,
)
from vlp_jax.core.logs import errors, say
from vlp_jax.parallel import hosts

LOST_ANOTHER = (
    "another process of this run has ended, and its output says why; the same command "
    "on all of them goes on from the newest checkpoint"
)

flags.disclaim_key_flags()  # those defined here belong to the program, as --help shows


def define_config(help_text: str, flag: str = "config") -> None:
    """--config=FILE.py with --config.path.to.key=value, and --help_config.

    The value None leaves a setting open, as if the file did not give it.
    """
    config_flags.DEFINE_config_file(flag, None, help_text)
    flags.DEFINE_bool(
        f"help_{flag}", False, f"Print every setting of --{flag} and exit."
    )


def get_config(
    section: str,
    example: str,
    flag: str = "config",
    defaults: Callable[[ConfigDict], dict] | None = None,
) -> ConfigDict | None:
    """The config of the command line; prints it and ends when asked to.

    Args:
      section: a key that every config of this program has.
      example: a file to name where the given one is not of that kind.
      flag: what the program calls its config.
      defaults: {dotted path: value} of the settings that a config leaves open;
        without it, those of a recipe.
    """
    config = flags.FLAGS[flag].value
    if config is not None:
        name = config_file(flag)
        problem = None
        if not Path(name).is_file():
            problem = "no such file"
        elif not isinstance(config, ConfigDict):
            problem = "its get_config() returns no ConfigDict"
        elif section not in config:
            problem = f"it has no {section!r}, so it is not meant for this program"
        if problem:
            raise ConfigError(f"--{flag}={name}: {problem}; see for example {example}")
    if flags.FLAGS[f"help_{flag}"].value:
        if config is None:
            raise ConfigError(f"--help_{flag} needs a {flag}: --{flag}={example}")
        _print_settings(flag, config, (defaults or _recipe_defaults)(config))
        sys.exit(0)
    return config


def _recipe_defaults(config: ConfigDict) -> dict:
    from vlp_jax import build, defaults

    return build.settings(defaults.resolved(config))


def _print_settings(flag: str, config: ConfigDict, defaults: dict) -> None:
    """Every setting: as the file has it, or the default of its kind, or open."""
    from vlp_jax import build

    for path, value in build.settings(config).items():
        if value is not None:
            print(f"--{flag}.{path}={value}")
        elif defaults.get(path) is not None:
            print(f"--{flag}.{path}={defaults[path]}  (default)")
        else:
            print(f"--{flag}.{path}  (not given)")


def config_file(flag: str = "config") -> str:
    """The file that --config names."""
    return flags.FLAGS[flag].config_filename


def _config_flag() -> str:
    """What the program calls its config: spec when it launches runs."""
    return "spec" if "spec" in flags.FLAGS else "config"


def prepare_output(output: str) -> None:
    """Makes the folder first: nothing is computed that could not be written."""
    try:
        Path(output).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"--output={output} cannot be a folder: {error.strerror}; name another"
        ) from None


def take_command() -> list[str]:
    """The words after `--`, taken off the command line: no flags of this program."""
    at = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    words = sys.argv[at + 1 :]
    del sys.argv[at:]
    return words


def _parse(argv: list[str]) -> list[str]:
    """Parses flags; what is wrong with them or the recipe is said in one line."""
    if {"--help", "-help", "-h"} & set(argv):
        print(_help())
        sys.exit(0)
    try:
        rest = flags.FLAGS([word for word in argv if not _left_open(word)])
        _leave_open([word for word in argv if _left_open(word)])
    except flags.UnrecognizedFlagError as error:
        _fail(_explain_unknown(error), CONFIG_WRONG)
    except Exception as error:  # whatever a recipe raises comes out here
        _fail(_explain(error, argv), CONFIG_WRONG)
    if rest[1:]:
        _fail(
            f"unexpected argument {rest[1]!r}; settings are --flag=value", CONFIG_WRONG
        )
    return rest


def _left_open(word: str) -> bool:
    """Whether this is --config.path.to.key=None."""
    return word.startswith(f"--{_config_flag()}.") and word.endswith("=None")


def _leave_open(words: list[str]) -> None:
    """What ml_collections has no value for: it would read the text 'None'."""
    for word in words:
        name = word.removeprefix("--").removesuffix("=None")
        flag, *path, key = name.split(".")
        block = flags.FLAGS[flag].value if flag in flags.FLAGS else None
        if block is None:
            raise flags.UnrecognizedFlagError(name)
        for part in path:
            block = block[part]
        kind = type(block[key]).__name__
        block[key] = None
        if block.get_type(key) is type(None):  # no setting that is left open
            raise flags.Error(f"flag --{name}=None: it needs a value, as {kind}")


def _help() -> str:
    """What the program is for, and its own flags."""
    own = flags.FLAGS.get_key_flags_for_module(sys.argv[0])
    lines = [f"  --{flag.name:12} {flag.help}" for flag in own]
    flag = _config_flag()
    if flag in flags.FLAGS:
        lines.append(f"  --{flag}.path.to.key=value changes one setting of the {flag}.")
    return "\n".join([sys.modules["__main__"].__doc__, *lines])


def _explain_unknown(error: flags.UnrecognizedFlagError) -> str:
    flag = _config_flag()
    if error.flagname.startswith(f"{flag}."):
        return f"--{error.flagname} changes a setting of a file; give --{flag}=FILE.py"
    said = str(error).replace(" ?", "?").replace(". Did", "; did")
    return f"{said} (--help lists the flags)"


def _explain(error: Exception, argv: list[str]) -> str:
    """What a recipe or its overrides did wrong, and the argument that it was."""
    said = str(error.args[0] if error.args else error)
    if "Traceback" in said:  # ml_collections packs one into its message
        said = said.strip().splitlines()[-1]
    meant = re.search(r'Did you mean "(.+?)" instead of "(.+?)"', said)
    key = meant[2] if meant else said.strip("\"'")
    if meant:
        said = f"unknown setting {key!r}; did you mean {meant[1]!r}?"
    elif isinstance(error, KeyError | AttributeError) and key.isidentifier():
        said = f"unknown setting {key!r}"
    elif not isinstance(error, flags.Error):
        said = f"{type(error).__name__}: {error}"
    flag = _config_flag()
    if flag not in flags.FLAGS:
        return " ".join(said.split())
    given = [a for a in argv if a.startswith(f"--{flag}")]
    blamed = re.search(r"flag (--[\w.]+)=", said)
    if blamed:
        given = [a for a in given if a.startswith(blamed[1])]
    else:
        given = [a for a in given if key in re.split(r"[.=]", a)] or given[:1]
    return f"{' '.join(said.split())} (in {' '.join(given)}; --help_{flag} lists all)"


def _fail(message: str, code: int) -> None:
    """Prints an error once, on whichever processes it happened, and exits."""
    first, reason = not hosts.label(), message
    if first:
        errors.print(f"error: {message}", markup=False)
    if hosts.together():
        reason = hosts.exchange_failure(message)
    if not first and reason != message:
        errors.print(f"{hosts.label()}error: {message}", markup=False)
    if reason is None:  # the others go on: at the exit they would wait for each other
        hosts.leave(code)
    sys.exit(code)


def run(main: Callable[[], None], on_hosts: bool = False) -> None:
    """Runs a program: ConfigError ends it with 78, RunError with 1, Preempted with 75.

    `on_hosts` programs first join the other processes that run the same command.
    """

    def guarded(_):
        if not flags.FLAGS["verbosity"].present:
            logging.set_verbosity(logging.FATAL)  # the notes of orbax and others
        try:
            if on_hosts:
                hosts.start()
            main()
        except ConfigError as error:
            _fail(str(error), CONFIG_WRONG)
        except RunError as error:
            _fail(str(error), FAILED)
        except Preempted as request:  # on all processes, after the same step
            say(str(request))
            sys.exit(PREEMPTED)
        except BrokenPipeError:  # the reader of a pipe, such as head, has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except KeyboardInterrupt:
            _fail("interrupted; the same command starts it again", 130)
        except Exception as error:
            if not hosts.together():
                raise
            if hosts.lost(error):
                errors.print(f"{hosts.label()}error: {LOST_ANOTHER}", markup=False)
            else:
                traceback.print_exc()
            hosts.leave(FAILED)  # the others notice, and end as well

    app.run(guarded, flags_parser=_parse)
