"""What process 0 finds out for all: files look different from different hosts."""

import itertools
import json
from collections.abc import Callable
from typing import Any

from jax._src import distributed  # its store of short texts

from vlp_jax.core.errors import ConfigError, RunError
from vlp_jax.parallel.hosts import PATIENCE, number, together

ERRORS = {error.__name__: error for error in (ConfigError, RunError)}
_asked = itertools.count()  # all processes ask the same questions in the same order


def decided(decide: Callable[[], Any]) -> Any:
    """What `decide` returns on process 0, where alone it runs, on all processes.

    The value must be JSON's. A ConfigError or RunError is raised on all of them, in
    the same words, so that it is printed once. Starts no backend.
    """
    if not together():
        return decide()
    client, key = distributed.global_state.client, f"vlp_jax/decided/{next(_asked)}"
    if number() == 0:
        try:
            outcome = {"value": decide()}
        except (ConfigError, RunError) as error:
            outcome = {type(error).__name__: str(error)}
        client.key_value_set(key, json.dumps(outcome))
    # Should process 0 end instead of answering, this raises what hosts.lost knows.
    outcome = json.loads(client.blocking_key_value_get(key, PATIENCE * 1000))
    for name, error in ERRORS.items():
        if name in outcome:
            raise error(outcome[name])
    return outcome["value"]
