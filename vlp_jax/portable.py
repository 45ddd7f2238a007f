"""A model outside of any format: what every endpoint is read into and written from."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import linen as nn
from ml_collections import ConfigDict

from vlp_jax import build, defaults, recipe
from vlp_jax.adapting import class_names_of, make_adapters
from vlp_jax.checkpoint.storage import restore_parameters, saved_parameters
from vlp_jax.core import trees
from vlp_jax.core.errors import ConfigError
from vlp_jax.core.types import PyTree
from vlp_jax.data.tokenizers import Tokenizer
from vlp_jax.models import PARTS
from vlp_jax.models.predictor import ModelPredictor
from vlp_jax.porting.description import Description, Tokens
from vlp_jax.porting.weights import Arrays, check_shapes

# What to do where a tokenizer and a model do not agree on the number of tokens.
OTHER_VOCABULARY = (
    "expected as many. Give the tokenizer of this model, with all its files, or cut "
    "rows that no token has (of a table filled up to a round number) from the weights "
    "and the config first"
)


@dataclasses.dataclass(frozen=True)
class Portable:
    """config: a resolved recipe, of which model, preprocessing and tokenizer count.

    parameters: {path: float32 array}, running statistics of a residual network among
    them. name: for people. step: of training. answers: those that are classes.
    """

    name: str
    config: ConfigDict
    tokenizer: Tokenizer
    parameters: Arrays
    step: int = 0
    answers: tuple[str, ...] = ()

    @property
    def description(self) -> Description:
        """The model as the tables of porting/ see it."""
        tokenizer, config = self.tokenizer, self.config
        tokens = Tokens(
            vocab_size=tokenizer.vocab_size,
            length=tokenizer.length,
            eos_id=tokenizer.eos_id,
            bos_id=tokenizer.bos_id,
            pad_id=tokenizer.pad_id,
            canonicalise=tokenizer.canonicalise,
        )
        model = json.loads(config.model.to_json_best_effort())
        if self.answers:
            model["answers"] = list(self.answers)
        return Description(model, build.keywords(config.preprocessing), tokens)

    def model(self) -> nn.Module:
        preprocessing = build.make_preprocessing(self.config)
        return build.make_model(
            self.config, preprocessing, self.tokenizer, len(self.answers)
        )

    def check(self) -> None:
        """ConfigError unless the parameters are those of the model."""
        own = getattr(build.model_of(self.config), "own_tokens", 0)
        known = self.tokenizer.vocab_size
        for path, table in self.parameters.items():
            if path.endswith("token_embedding") and len(table) - own != known:
                raise ConfigError(
                    f"the tokenizer of {self.name} has {known:,} tokens and the model "
                    f"{len(table) - own:,} token embeddings; {OTHER_VOCABULARY}"
                )
        check_shapes(self.parameters, trees.flatten(trees.union(self.shapes())))

    def shapes(self) -> dict[str, PyTree]:
        """Those of the model's variables, by collection."""
        size = self.config.preprocessing.image_size
        init = build.init_function(self.model(), size, self.tokenizer.length)
        return dict(jax.eval_shape(init, jax.random.key(0)))

    def variables(self) -> dict[str, PyTree]:
        """What the model is applied with: statistics are a collection of their own."""
        return trees.apart(self.parameters, self.shapes())

    def count(self) -> int:
        """How many parameters it has; statistics are none."""
        return trees.count(self.shapes()["params"])

    def predictor(self, mesh, batch_size: int) -> ModelPredictor:
        everywhere = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
        return ModelPredictor(
            self.model(),
            jax.device_put(self.variables(), everywhere),
            build.make_preprocessing(self.config),
            self.tokenizer,
            mesh,
            batch_size,
            self.answers,
            class_names_of(self.config),
        )


def from_settings(
    name: str,
    model: Mapping[str, Any],
    preprocessing: Mapping[str, Any],
    tokenizer: Tokenizer,
    parameters: Arrays,
) -> Portable:
    """A model that comes from elsewhere, as if a recipe of ours had described it."""
    config = recipe.pretraining()
    config.name = name
    model = dict(model)
    answers = tuple(model.pop("answers", ()))
    for part in PARTS:
        config.model[part].update(model.pop(part, {"kind": None}))
    config.model.update(model)
    config.preprocessing.update(dict(preprocessing))
    config.tokenizer.length = tokenizer.length
    config.tokenizer.canonicalise = tokenizer.canonicalise
    found = Portable(
        name, defaults.resolved(config), tokenizer, parameters, answers=answers
    )
    found.check()
    return found


def merged_parameters(
    config: ConfigDict, tokenizer: Tokenizer, parameters: Arrays
) -> Arrays:
    """Those of a model without adapters: what a run learned beside is added to them."""
    adapters = make_adapters(config, tokenizer)
    if not adapters:
        return parameters
    found = adapters.merged({"params": trees.unflatten(parameters)})
    return {k: np.asarray(x) for k, x in trees.flatten(found["params"]).items()}


def read_parameters(folder: Path, weights: str) -> Arrays:
    """All parameters and statistics of a checkpoint of ours as NumPy arrays."""
    here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    like = {
        path: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=here)
        for path, x in saved_parameters(folder, weights).items()
    }
    found = restore_parameters(folder, weights, like)
    return {path: np.asarray(array) for path, array in found.items()}
