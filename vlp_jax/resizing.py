"""A model for pictures of another size, or for shorter texts: positions are resized.

As a run of the other size takes them when it starts from the model
(transfer/initialise.py): image positions bicubically over their grid, text positions
from the first on.
"""

import dataclasses

import jax.numpy as jnp
import numpy as np

from vlp_jax.core import trees
from vlp_jax.core.errors import ConfigError, check_range
from vlp_jax.portable import Portable
from vlp_jax.transfer.initialise import match, resizer


def resized(
    model: Portable, image_size: int | None = None, text_length: int | None = None
) -> tuple[Portable, list[str]]:
    """The model for pictures of image_size pixels and texts of text_length tokens.

    None: as they are. Also what was resized, for people. ConfigError for a size that
    the image tower cannot have, and for texts longer than the model has learned.
    """
    pixels, length = model.config.preprocessing.image_size, model.tokenizer.length
    image_size = pixels if image_size is None else image_size
    text_length = length if text_length is None else text_length
    if (image_size, text_length) == (pixels, length):
        return model, []
    check_range("image_size", image_size, 1)
    _check_length(model, text_length)
    config = model.config.copy_and_resolve_references()
    config.preprocessing.image_size = image_size
    config.tokenizer.length = text_length
    words = model.tokenizer.with_length(text_length)
    other = dataclasses.replace(model, config=config, tokenizer=words)
    fresh = trees.flatten(trees.union(other.shapes()))
    arrays, found = dict(model.parameters), match(fresh, model.parameters)
    for path in found.resized:
        zeros = jnp.zeros(fresh[path].shape, fresh[path].dtype)
        change = resizer(path, arrays[path].shape, zeros.shape)
        arrays[path] = np.asarray(change(jnp.asarray(arrays[path]), zeros))
    other = dataclasses.replace(other, parameters=arrays)
    other.check()
    said = [
        *([f"pictures {pixels} -> {image_size} pixels"] * (pixels != image_size)),
        *([f"texts {length} -> {text_length} tokens"] * (length != text_length)),
        *(f"{path} {shapes}" for path, shapes in found.resized.items()),
    ]
    return other, said


def _check_length(model: Portable, text_length: int) -> None:
    """ConfigError unless texts can be cut to that length."""
    length = model.tokenizer.length
    if text_length > length:
        raise ConfigError(
            f"text_length is {text_length}, and the model has learned {length} "
            "positions; there is no usual way to make up more. A run with that "
            "tokenizer.length which starts from it (initialise.checkpoint) learns them"
        )
    if text_length < length and model.config.model.text.pool == "last":
        raise ConfigError(
            f"text_length is {text_length}, but this text tower reads the last of its "
            f"{length} positions (model.text.pool = 'last'); leave it out"
        )
