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


def check_statistics(
    trains: Callable[[str], bool], paths: Iterable[str], statistics: Iterable[str]
) -> None:
    """ConfigError where the running statistics of a locked layer would change.

    paths, statistics: of parameters and of statistics, which are a layer's own by
    their path ('image/stem/norm/scale' and 'image/stem/norm/mean').
    """
    locked = {path.rpartition("/")[0] for path in paths if not trains(path)}
    moving = [path for path in statistics if path.rpartition("/")[0] in locked]
    if moving:
        raise ConfigError(
            f"trainable locks parameters beside {moving[0]}, but training would go on "
            "to change these statistics of its batches; set "
            "--config.model.image.frozen_statistics=True"
        )
