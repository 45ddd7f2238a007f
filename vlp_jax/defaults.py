"""What a config leaves open gets the default of the builder that it names."""

import inspect
from collections.abc import Callable

from ml_collections import ConfigDict

from vlp_jax import build
from vlp_jax.core.lookup import lookup, parameters_of
from vlp_jax.data.sources import SOURCES
from vlp_jax.data.transforms.crop import RandomResizedCrop
from vlp_jax.data.transforms.image import Preprocessing
from vlp_jax.evaluation import EVALUATORS
from vlp_jax.models import PARTS
from vlp_jax.objectives import OBJECTIVES
from vlp_jax.objectives.mixture import Schedule
from vlp_jax.parallel.mesh import MeshSpec
from vlp_jax.settings import SECTIONS, complete_streams
from vlp_jax.training.optimizer import OPTIMIZERS
from vlp_jax.training.schedules import learning_rate
from vlp_jax.transfer.initialise import InitialWeights


def resolved(config: ConfigDict) -> ConfigDict:
    """A copy in which what was not given has the value that its builder gives it.

    Takes the config of a training run, an evaluation or a dataset. Checkpoints keep
    the copy: a default that changes later does not change them.
    """
    config = config.copy_and_resolve_references()
    if "objectives" not in config:
        return _resolve_evaluation(config)
    _resolve_evaluation(config.evaluation)
    for section in (config[name] for name in SECTIONS.values() if name in config):
        for block in (section.train, *section.mixture.values()):
            _fill(block, SOURCES.get(block.kind))
    complete_streams(config)
    if config.data.crop.scale is not None:
        _fill(config.data.crop, RandomResizedCrop)
    _fill(config.preprocessing, Preprocessing)
    _fill(config.model, build.model_of(config))
    for name, table in PARTS.items():
        _fill(config.model[name], table.get(config.model[name].kind))
    for name, block in config.objectives.items():
        _fill(block, lookup(OBJECTIVES, name, "objective"))
        if "schedule" in block:  # checkpoints older than schedules have none
            _fill(block.schedule, Schedule)
    _fill(config.optimizer, OPTIMIZERS.get(config.optimizer.kind))
    _fill(config.learning_rate, learning_rate)
    _fill(config.mesh, MeshSpec)
    if config.initialise.checkpoint is not None:
        _fill(config.initialise, InitialWeights)
    return config


def _resolve_evaluation(config: ConfigDict) -> ConfigDict:
    evaluators = config.get("evaluators", {}).values()
    for owner in (config, *evaluators):
        for data in (owner[key] for key in ("data", "train") if key in owner):
            _fill(data, SOURCES.get(data.kind))
    for block in evaluators:
        _fill(block, EVALUATORS.get(block.kind))
    return config


def _fill(block: ConfigDict, builder: Callable | None) -> None:
    """Sets what a block leaves open to the defaults of its builder, if it has one."""
    if builder is None:
        return
    by_size = build.sized(block)
    for key, parameter in parameters_of(builder).items():
        default = by_size.get(key, parameter.default)
        if default is not inspect.Parameter.empty and block.get(key, "") is None:
            block[key] = default
