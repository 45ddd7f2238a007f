"""The settings a spec under launch/ starts from: every key exists, None is 'not given'.

Only the keywords of its own engine are there, so that the command line and the spec
are refused any other.
"""

from typing import Any

from ml_collections import ConfigDict

from vlp_jax.core.lookup import lookup, parameters_of
from vlp_jax.launching import ENGINES
from vlp_jax.open_settings import keywords


def spec_of(engine: str, **chosen: Any) -> ConfigDict:
    """Settings of a launch; a spec fills in what its machines need."""
    builder = lookup(ENGINES, engine, "engine")
    config = ConfigDict({"engine": engine, "command": ""})
    config.update(keywords({engine: builder}, hidden=("command", "environment")))
    config.environment = ConfigDict()  # variables of any name
    config.update(chosen)
    config.lock()
    config.environment.unlock()
    return config


def defaults(spec: ConfigDict) -> dict[str, Any]:
    """{setting: what it is when it is not given}; None where it must be, or is open."""
    parameters = parameters_of(lookup(ENGINES, spec.engine, "engine"))
    return {
        k: None if p.default is p.empty else p.default for k, p in parameters.items()
    }
