"""What process 0 finds out for all: files look different from different hosts."""

import json
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from vlp_jax.core.errors import ConfigError, RunError
from vlp_jax.parallel.hosts import agreed, together

ERRORS = {error.__name__: error for error in (ConfigError, RunError)}


def decided(decide: Callable[[], Any]) -> Any:
    """What `decide` returns on process 0, where alone it runs, on all processes.

    The value must be JSON's. A ConfigError or RunError is raised on all of them, in
    the same words, so that it is printed once.
    """
    if not together():
        return decide()
    outcome = {}
    if jax.process_index() == 0:
        try:
            outcome["value"] = decide()
        except (ConfigError, RunError) as error:
            outcome[type(error).__name__] = str(error)
    outcome = json.loads(_broadcast(json.dumps(outcome).encode()))
    for name, error in ERRORS.items():
        if name in outcome:
            raise error(outcome[name])
    return outcome["value"]


def _broadcast(content: bytes) -> bytes:
    """The bytes of process 0, on all processes."""
    size = agreed(len(content))
    own = np.frombuffer(content.ljust(size)[:size], np.uint8)
    return np.asarray(multihost_utils.broadcast_one_to_all(own)).tobytes()
