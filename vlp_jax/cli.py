"""What all programs share: flags, exit codes, and errors without tracebacks."""

import sys
from collections.abc import Callable

from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

from vlp_jax.core.errors import ConfigError, RunError
from vlp_jax.core.logs import errors

CONFIG_WRONG = 78  # never worth a retry
FAILED = 1


def define_config(help_text: str) -> None:
    """--config=FILE.py with --config.path.to.key=value, and --help_config."""
    config_flags.DEFINE_config_file("config", None, help_text)
    flags.DEFINE_bool("help_config", False, "Print every setting of --config and exit.")


def get_config() -> ConfigDict | None:
    """The config of the command line; prints it and ends when asked to."""
    config = flags.FLAGS.config
    if config is not None and not isinstance(config, ConfigDict):
        raise ConfigError("--config is not a file with a get_config() function")
    if flags.FLAGS.help_config and config is not None:
        for path, value in settings(config).items():
            print(
                f"--config.{path}={value}"
                if value is not None
                else f"--config.{path}  (not given: the default of its kind)"
            )
        sys.exit(0)
    return config


def settings(config: ConfigDict, prefix: str = "") -> dict:
    """{dotted path: value} of every setting."""
    found = {}
    for key, value in config.items():
        if isinstance(value, ConfigDict):
            found |= settings(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value
    return found


def _parse(argv: list[str]) -> list[str]:
    """Parses flags; what is wrong with them is said in one line."""
    try:
        rest = flags.FLAGS(argv)
    except (KeyError, AttributeError, TypeError, ValueError) as error:
        _fail(_explain(error, argv), CONFIG_WRONG)
    except flags.Error as error:
        _fail(f"{error} (--help lists the flags)", CONFIG_WRONG)
    except OSError as error:
        _fail(f"--config: {error.strerror}: {error.filename}", CONFIG_WRONG)
    if flags.FLAGS.help:
        print(flags.FLAGS.main_module_help())
        sys.exit(0)
    if rest[1:]:
        _fail(
            f"unexpected argument {rest[1]!r}; settings are --flag=value", CONFIG_WRONG
        )
    return rest


def _explain(error: Exception, argv: list[str]) -> str:
    """An override that the config refused, with what it was and what is meant."""
    said = " ".join(str(error.args[0] if error.args else error).split())
    said = said.replace("\"'", "'").replace("'\"", "'")
    overrides = [a for a in argv if a.startswith("--config.")]
    return f"--config: {said} (given: {' '.join(overrides)}; --help_config lists all)"


def _fail(message: str, code: int) -> None:
    errors.print(f"error: {message}", markup=False)
    sys.exit(code)


def run(main: Callable[[], None]) -> None:
    """Runs a program: ConfigError ends it with 78, RunError with 1."""

    def guarded(_):
        if not flags.FLAGS["verbosity"].present:
            logging.set_verbosity(logging.ERROR)  # the notes of orbax and others
        try:
            main()
        except ConfigError as error:
            _fail(str(error), CONFIG_WRONG)
        except RunError as error:
            _fail(str(error), FAILED)
        except KeyboardInterrupt:
            _fail("interrupted; the same command goes on from the last checkpoint", 130)

    app.run(guarded, flags_parser=_parse)
