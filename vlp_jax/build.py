"""The one place that knows the config: ConfigDict -> objects.

Nothing below this file sees a ConfigDict, and only here do data, models, objectives
and evaluation meet. runs.py puts these objects together.
"""

import functools
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from ml_collections import ConfigDict

from vlp_jax.adapting import class_names_of, make_class_prompts
from vlp_jax.core import trees
from vlp_jax.core.errors import ConfigError, check_range
from vlp_jax.core.lookup import call, lookup, parameters_of
from vlp_jax.core.types import STREAMS, Evaluator, Source
from vlp_jax.data.lengths import check_lengths
from vlp_jax.data.sources import SOURCES
from vlp_jax.data.tokenizers import Tokenizer
from vlp_jax.data.transforms.crop import RandomResizedCrop, WholePicture
from vlp_jax.data.transforms.image import Preprocessing
from vlp_jax.evaluation import EVALUATORS
from vlp_jax.models import MODELS, PARTS, SIZES
from vlp_jax.models.outputs import check_outputs
from vlp_jax.objectives import OBJECTIVES
from vlp_jax.objectives.mixture import Mixture, Schedule
from vlp_jax.parallel.mesh import MeshSpec
from vlp_jax.transfer.freezing import check_statistics, trainable
from vlp_jax.transfer.initialise import InitialWeights
from vlp_jax.transfer.layer_decay import rate_factors


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


def make_tokenizer(config: ConfigDict, texts: Iterable[str]) -> Tokenizer:
    """The named tokenizer, or one trained on texts of the run."""
    block = config.tokenizer
    check_range("tokenizer.train_samples", block.train_samples, 1)
    options = {"length": block.length}
    if block.canonicalise is not None:
        options["canonicalise"] = block.canonicalise
    if block.path is not None:
        writes = hasattr(model_of(config), "start")  # from a token of the tokenizer
        add_start = writes if block.add_start is None else block.add_start
        return Tokenizer.load(block.path, **options, add_start=add_start)
    return Tokenizer.train(texts, vocab_size=block.vocab_size, **options)


def make_model(
    config: ConfigDict,
    preprocessing: Preprocessing,
    tokenizer: Tokenizer,
    answers: int = 0,
) -> nn.Module:
    """The model, of the parts that its kind has; `answers`: classes of a question's."""
    given = of_tokenizer(tokenizer) | {
        "image_size": preprocessing.image_size,
        "image_mean": preprocessing.mean,
        "image_std": preprocessing.std,
        "answers": answers,
        "classes": len(class_names_of(config)),
    }
    builder = model_of(config)
    given["vocab_size"] += getattr(builder, "own_tokens", 0)
    wanted = parameters_of(builder)
    for name, table in PARTS.items():
        optional = name in wanted and wanted[name].default is None
        if name in wanted and not (optional and config.model[name].kind is None):
            given[name] = _part(table, config.model[name], name, given)
    chosen = keywords(config.model, "kind")
    return call(builder, chosen, f"model of kind {kind_of(config)!r}", **given)


def of_tokenizer(tokenizer: Tokenizer) -> dict[str, Any]:
    """What models and objectives are told of the tokens."""
    names = ("vocab_size", "length", "bos_id", "eos_id", "pad_id", "mask_id")
    return {name: getattr(tokenizer, name) for name in names}


def kind_of(config: ConfigDict) -> str:
    """config.model.kind; checkpoints older than the choice have two towers."""
    return config.model.get("kind") or "two_tower"


def model_of(config: ConfigDict) -> Callable[..., nn.Module]:
    return lookup(MODELS, kind_of(config), "model.kind")


def _part(table, block: ConfigDict, name: str, given: dict[str, Any]) -> nn.Module:
    """A tower: the settings its `size` stands for, then those given one by one."""
    what = f"model.{name}"
    builder = lookup(table, block.kind or "", f"{what}.kind")
    chosen = {k: v for k, v in keywords(block, "kind", "size").items() if v is not None}
    name = f"{what} of kind {block.kind!r}"
    return call(builder, sized(block) | chosen, name, **given)


def sized(block: ConfigDict) -> dict[str, Any]:
    """The settings that a tower's `size` stands for; none without one."""
    if block.get("kind") not in SIZES or block.get("size") is None:
        return {}
    return SIZES[block.kind](block.size)


def make_text_lengths(
    config: ConfigDict, model: nn.Module, tokenizer: Tokenizer
) -> tuple[int, ...] | None:
    """The lengths that the texts of a batch are cut to; None: they stay as they are."""
    if config.data.text_lengths is None:
        return None
    if getattr(getattr(model, "text", None), "pool", None) == "last":
        raise ConfigError(
            "data.text_lengths cuts padding, but this text tower reads the last "
            "position (model.text.pool = 'last'), padding or not; leave it out"
        )
    return check_lengths(config.data.text_lengths, tokenizer.length)


def make_objective(
    config: ConfigDict, mesh: jax.sharding.Mesh, tokenizer: Tokenizer
) -> Mixture:
    given = of_tokenizer(tokenizer) | {
        "mesh": mesh,
        "embedding_width": config.model.embedding_size,
    }
    objectives, weights, schedules = {}, {}, {}
    for name, block in config.objectives.items():
        builder, what = lookup(OBJECTIVES, name, "objective"), f"objectives.{name}"
        weights[name] = block.weight
        if not block.weight:
            continue
        if "word_borders" in parameters_of(builder):  # they take a while to make
            given["word_borders"] = tokenizer.word_borders
        if "class_prompts" in parameters_of(builder):
            given["class_prompts"] = make_class_prompts(config, tokenizer)
        objectives[name] = call(builder, keywords(block, "weight"), what, **given)
        schedule = call(Schedule, keywords(block.schedule), f"{what}.schedule")
        if schedule != Schedule():
            schedules[name] = schedule
    if not any(weights.values()):
        raise ConfigError(
            "every objective has weight 0, so there is nothing to learn; set one, for "
            "example --config.objectives.contrastive.weight=1"
        )
    if all(name in schedules and schedules[name].start_step for name in objectives):
        raise ConfigError(
            "no objective counts at step 0; let the schedule of one begin there: "
            f"--config.objectives.{next(iter(objectives))}.schedule.start_step=0"
        )
    return Mixture(objectives, weights, schedules)


def check_needs(
    config: ConfigDict, objective: Mixture, model: nn.Module, init: Callable
) -> None:
    """ConfigError where an objective needs what the model is not set to have."""
    wanted = {need.name for need in objective.needs}
    if "logit_bias" in wanted and config.model.logit_bias_init is None:
        raise ConfigError(
            "objectives.sigmoid needs a bias; set --config.model.logit_bias_init=-10 "
            "(and logit_scale_init=2.3026), as SigLIP does"
        )
    own = jax.eval_shape(init, jax.random.key(0))["params"]
    check_outputs(model, objective.derived, objective.needs, {"": own, **STREAMS})


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


def init_function(model: nn.Module, image_size: int, length: int):
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


def make_rate_factor(config: ConfigDict, init: Callable) -> Callable | None:
    """Parameter path -> factor of its learning rate; None: all learn at one rate."""
    if config.layer_decay is None:
        return None
    shapes = jax.eval_shape(init, jax.random.key(0))["params"]
    return rate_factors(config.layer_decay, trees.flatten(shapes))


def make_initial_weights(config: ConfigDict) -> InitialWeights | None:
    """Where a fresh run gets its values from; None: from the initialisers."""
    given = keywords(config.initialise)
    if all(value is None for value in given.values()):
        return None
    return call(InitialWeights, given, "initialise")
