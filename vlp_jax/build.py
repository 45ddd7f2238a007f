"""The one place that knows the config: ConfigDict -> objects.

Nothing below this file sees a ConfigDict, and only here do data, models, objectives
and evaluation meet. runs.py puts these objects together.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from ml_collections import ConfigDict

from vlp_jax.core import trees
from vlp_jax.core.errors import ConfigError, check_range
from vlp_jax.core.lookup import call, lookup, parameters_of
from vlp_jax.core.types import Evaluator, Source
from vlp_jax.data.captions import spread_captions
from vlp_jax.data.lengths import check_lengths
from vlp_jax.data.sources import SOURCES
from vlp_jax.data.tokenizers import Tokenizer
from vlp_jax.data.transforms.crop import RandomResizedCrop, WholePicture
from vlp_jax.data.transforms.image import Preprocessing
from vlp_jax.evaluation import EVALUATORS
from vlp_jax.models import IMAGE_TOWERS, SIZES, TEXT_TOWERS
from vlp_jax.models.vlm import TwoTower
from vlp_jax.objectives import OBJECTIVES
from vlp_jax.objectives.mixture import Mixture
from vlp_jax.parallel.mesh import MeshSpec
from vlp_jax.training.optimizer import OPTIMIZERS
from vlp_jax.training.schedules import learning_rate
from vlp_jax.transfer.freezing import check_statistics, trainable
from vlp_jax.transfer.initialise import InitialWeights


def keywords(block: ConfigDict, *leave_out: str) -> dict[str, Any]:
    """The plain settings of a block as keywords; lists become tuples."""
    return {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in block.items()
        if key not in leave_out and not isinstance(value, ConfigDict)
    }


def settings(config: ConfigDict, prefix: str = "") -> dict:
    """{dotted path: value} of every setting."""
    found = {}
    for key, value in config.items():
        if isinstance(value, ConfigDict):
            found |= settings(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value
    return found


def pick(table, block: ConfigDict, what: str, **given):
    """Builds what `block.kind` names in a table, from the block's other settings."""
    if block.kind is None:
        raise ConfigError(f"{what}.kind is not given; known: {', '.join(table)}")
    builder = lookup(table, block.kind, f"{what}.kind")
    name = f"{what} of kind {block.kind!r}"
    return call(builder, keywords(block, "kind"), name, **given)


def make_preprocessing(config: ConfigDict) -> Preprocessing:
    return call(Preprocessing, keywords(config.preprocessing), "preprocessing")


def make_tokenizer(config: ConfigDict, source: Source) -> Tokenizer:
    """The named tokenizer, or one trained on captions spread over the source."""
    block = config.tokenizer
    check_range("tokenizer.train_samples", block.train_samples, 1)
    options = {"length": block.length}
    if block.canonicalise is not None:
        options["canonicalise"] = block.canonicalise
    if block.path is not None:
        return Tokenizer.load(block.path, **options)
    return Tokenizer.train(
        spread_captions(source, block.train_samples),
        vocab_size=block.vocab_size,
        **options,
    )


def make_model(
    config: ConfigDict, preprocessing: Preprocessing, tokenizer: Tokenizer
) -> TwoTower:
    towers = {
        "image": _tower(
            IMAGE_TOWERS,
            config.model.image,
            "image",
            image_size=preprocessing.image_size,
        ),
        "text": _tower(
            TEXT_TOWERS,
            config.model.text,
            "text",
            vocab_size=tokenizer.vocab_size,
            length=tokenizer.length,
            eos_id=tokenizer.eos_id,
        ),
    }
    given = towers | {
        "image_mean": preprocessing.mean,
        "image_std": preprocessing.std,
    }
    return call(TwoTower, keywords(config.model), "model", **given)


def _tower(table, block: ConfigDict, name: str, **given) -> nn.Module:
    """A tower: the settings its `size` stands for, then those given one by one."""
    what = f"model.{name}"
    builder = lookup(table, block.kind or "", f"{what}.kind")
    chosen = {k: v for k, v in keywords(block, "kind", "size").items() if v is not None}
    name = f"{what} of kind {block.kind!r}"
    return call(builder, _sized(block) | chosen, name, **given)


def _sized(block: ConfigDict) -> dict[str, Any]:
    """The settings that a tower's `size` stands for; none without one."""
    if block.get("kind") not in SIZES or block.size is None:
        return {}
    return SIZES[block.kind](block.size)


def make_text_lengths(
    config: ConfigDict, model: TwoTower, tokenizer: Tokenizer
) -> tuple[int, ...] | None:
    """The lengths that the texts of a batch are cut to; None: they stay as they are."""
    if config.data.text_lengths is None:
        return None
    if model.text.pool == "last":
        raise ConfigError(
            "data.text_lengths cuts padding, but this text tower reads the last "
            "position (model.text.pool = 'last'), padding or not; leave it out"
        )
    return check_lengths(config.data.text_lengths, tokenizer.length)


def make_objective(config: ConfigDict, mesh: jax.sharding.Mesh) -> Mixture:
    objectives, weights = {}, {}
    for name, block in config.objectives.items():
        builder = lookup(OBJECTIVES, name, "objective")
        weights[name] = block.weight
        objectives[name] = call(
            builder, keywords(block, "weight"), f"objectives.{name}", mesh=mesh
        )
    if not any(weights.values()):
        raise ConfigError(
            "every objective has weight 0, so there is nothing to learn; set one, for "
            "example --config.objectives.contrastive.weight=1"
        )
    return Mixture(objectives, weights)


def check_needs(config: ConfigDict, objective: Mixture) -> None:
    """ConfigError where an objective needs what the model is not set to have."""
    wanted = {need.name for need in objective.needs}
    if "logit_bias" in wanted and config.model.logit_bias_init is None:
        raise ConfigError(
            "objectives.sigmoid needs a bias; set --config.model.logit_bias_init=-10 "
            "(and logit_scale_init=2.3026), as SigLIP does"
        )


def make_evaluators(block: ConfigDict) -> dict[str, Evaluator]:
    """Evaluators by name; those without data of their own share the evaluation's."""
    return {
        name: pick(EVALUATORS, one, f"evaluators.{name}", **_sources(block, name))
        for name, one in block.evaluators.items()
    }


def _sources(block: ConfigDict, name: str) -> dict[str, Source]:
    """What an evaluator looks at, and what it learns from where its kind does."""
    one, path = block.evaluators[name], f"evaluators.{name}"
    wanted = parameters_of(lookup(EVALUATORS, one.kind or "", f"{path}.kind"))
    sources = {}
    for key, parameter in (("data", "source"), ("train", "train")):
        own = key in one and one[key].kind is not None
        owner, what = (one, f"{path}.{key}") if own else (block, key)
        if parameter in wanted:
            sources[parameter] = pick(SOURCES, owner[key], what)
        elif own:
            raise ConfigError(f"{what} is given, but a {one.kind} learns from no data")
    return sources


def training_images(data: ConfigDict, preprocessing: Preprocessing):
    """The function that turns Example.image into a training picture."""
    if data.crop.scale is None:
        return WholePicture(preprocessing, data.decoder)
    return call(
        RandomResizedCrop,
        keywords(data.crop),
        "data.crop",
        image_size=preprocessing.image_size,
        interpolation=preprocessing.interpolation,
        decoder=data.decoder,
    )


def make_bounds(config: ConfigDict) -> dict[str, tuple[float, float]]:
    """Parameter path -> (low, high)."""
    bounds = keywords(config.bounds)
    for path, pair in bounds.items():
        if len(pair) != 2 or not pair[0] <= pair[1]:
            raise ConfigError(
                f"bounds.{path} is {pair}; expected (low, high) with low <= high"
            )
    return bounds


def make_mesh(config: ConfigDict, devices=None) -> jax.sharding.Mesh:
    return call(MeshSpec, keywords(config.mesh), "mesh").make(devices)


def init_function(model: TwoTower, image_size: int, length: int):
    """key -> fresh variables of the model."""
    images = jnp.zeros((1, image_size, image_size, 3), jnp.uint8)
    tokens = jnp.zeros((1, length), jnp.int32)
    return functools.partial(model.init, images=images, tokens=tokens)


def make_trainable(config: ConfigDict, init: Callable) -> Callable | None:
    """Parameter path -> whether it trains; None: all do."""
    if config.trainable is None:
        return None
    shapes = dict(jax.eval_shape(init, jax.random.key(0)))
    paths = trees.flatten(shapes.pop("params"))
    trains = trainable(tuple(config.trainable), paths)
    if not config.model.image.frozen_statistics:
        check_statistics(trains, paths, trees.flatten(trees.union({"": {}, **shapes})))
    return trains


def make_initial_weights(config: ConfigDict) -> InitialWeights | None:
    """Where a fresh run gets its values from; None: from the initialisers."""
    given = keywords(config.initialise)
    if all(value is None for value in given.values()):
        return None
    return call(InitialWeights, given, "initialise")


def resolved(config: ConfigDict) -> ConfigDict:
    """A copy in which what was not given has the value that its builder gives it.

    Takes the config of a training run, an evaluation or a dataset. Checkpoints keep
    the copy: a default that changes later does not change them.
    """
    config = config.copy_and_resolve_references()
    if "objectives" not in config:
        return _resolve_evaluation(config)
    _resolve_evaluation(config.evaluation)
    for block in (config.data.train, *config.data.mixture.values()):
        _fill(block, SOURCES.get(block.kind))
    if config.data.crop.scale is not None:
        _fill(config.data.crop, RandomResizedCrop)
    _fill(config.preprocessing, Preprocessing)
    _fill(config.model, TwoTower)
    _fill(config.model.image, IMAGE_TOWERS.get(config.model.image.kind))
    _fill(config.model.text, TEXT_TOWERS.get(config.model.text.kind))
    for name, block in config.objectives.items():
        _fill(block, lookup(OBJECTIVES, name, "objective"))
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
    sized = _sized(block)
    for key, parameter in parameters_of(builder).items():
        default = sized.get(key, parameter.default)
        if default is not inspect.Parameter.empty and block.get(key, "") is None:
            block[key] = default
