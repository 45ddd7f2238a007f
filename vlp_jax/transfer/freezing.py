"""Which parameters train; the others are locked, as LiT locks the image tower."""

from collections.abc import Callable, Iterable, Sequence

from vlp_jax.core import trees
from vlp_jax.core.errors import ConfigError


def trainable(patterns: Sequence[str], paths: Iterable[str]) -> Callable[[str], bool]:
    """path -> whether that parameter trains: one of the patterns is found in it.

    ConfigError for a pattern that no path has, and when there is no pattern.
    """
    if not patterns:
        raise ConfigError(
            "trainable is empty, so nothing would train; name what trains, for example "
            "--config.trainable=\"('^text', '^logit')\", or leave it out to train all"
        )
    return trees.matching(patterns, paths, "trainable").__contains__
