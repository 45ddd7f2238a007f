"""Encoders as serialised programs (jax.export), to be run without this package.

image.bin, text.bin   StableHLO for any batch, on CPU, GPU and TPU
weights.safetensors   their first argument
about.json            sizes, preprocessing, scale and bias
tokenizer.json        for the tokenizers package
serve.py              a loader that needs nothing of ours
"""

import contextlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import export

from vlp_jax.core import trees
from vlp_jax.porting.description import Description
from vlp_jax.porting.files import write_json, write_safetensors

SERVE = Path(__file__).parent / "assets" / "serve.py"
PLATFORMS = ("cpu", "cuda", "tpu")

Encode = Callable[..., jax.Array]


def write(
    folder: Path,
    description: Description,
    parameters: Mapping[str, np.ndarray],
    encode_image: Encode,
    encode_text: Encode,
) -> None:
    """Everything but the tokenizer; `folder` is there and empty.

    encode_image: (tree, uint8 [b, S, S, 3]) -> float32 [b, E]; encode_text: (tree,
    int32 [b, L], bool [b, L]) -> float32 [b, E]; tree: the nested `parameters`.
    """
    size, length = description.preprocessing["image_size"], description.tokens.length
    shapes = {k: jax.ShapeDtypeStruct(x.shape, x.dtype) for k, x in parameters.items()}
    (batch,) = export.symbolic_shape("b")
    pictures = jax.ShapeDtypeStruct((batch, size, size, 3), jnp.uint8)
    tokens, mask = (
        jax.ShapeDtypeStruct((batch, length), kind) for kind in (jnp.int32, jnp.bool_)
    )
    programs = {
        "image.bin": (encode_image, (pictures,)),
        "text.bin": (encode_text, (tokens, mask)),
    }
    for name, (encode, arguments) in programs.items():

        def flat(weights, *arrays, encode=encode):
            return encode(trees.unflatten(weights), *arrays)

        with _without_folders():
            made = export.export(jax.jit(flat), platforms=PLATFORMS)(shapes, *arguments)
        (folder / name).write_bytes(made.serialize())
    write_safetensors(folder / "weights.safetensors", parameters)
    write_json(folder / "about.json", _about(description, parameters))
    shutil.copyfile(SERVE, folder / SERVE.name)


@contextlib.contextmanager
def _without_folders() -> Iterator[None]:
    """Programs name the source files of their operations, but not where these lie."""
    option = "jax_hlo_source_file_canonicalization_regex"
    before = getattr(jax.config, option)
    jax.config.update(option, ".*/")
    try:
        yield
    finally:
        jax.config.update(option, before)


def _about(description: Description, parameters: Mapping[str, np.ndarray]) -> dict:
    tokens, preprocessing = description.tokens, description.preprocessing
    return {
        "scale": float(np.exp(parameters.get("logit_scale", 0.0))),
        "bias": float(parameters.get("logit_bias", 0.0)),
        "length": tokens.length,
        "pad_id": tokens.pad_id,
        **{k: preprocessing[k] for k in ("image_size", "resize", "interpolation")},
    }
