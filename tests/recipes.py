"""Recipes for tests: the start of every recipe, or the tiny one, somewhat changed."""

from ml_collections import ConfigDict

from tests.end_to_end import tiny as tiny_recipe
from vlp_jax import recipe


def changed(config: ConfigDict, **settings) -> ConfigDict:
    """The config itself, dotted settings of it changed ('data__threads')."""
    for path, value in settings.items():
        *sections, key = path.split("__")
        place = config
        for section in sections:
            place = place[section]
        place[key] = value
    return config


def pretraining(**settings) -> ConfigDict:
    """What recipes start from, ten steps long."""
    return changed(recipe.pretraining(), **{"steps": 10, **settings})


def tiny(**settings) -> ConfigDict:
    """The smallest recipe that can train."""
    return changed(tiny_recipe.get_config(), **settings)
