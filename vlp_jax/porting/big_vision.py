"""SigLIP checkpoints of big_vision (.npz), as a source.

The file has weights alone: shapes tell the sizes, the rest is what its SigLIP configs
say (github.com/google-research/big_vision, configs/proj/image_text/siglip_*). The
tokenizer is to be given.
"""

import math
import zipfile
from pathlib import Path

import numpy as np

from vlp_jax.core.errors import ConfigError
from vlp_jax.porting.description import Settings
from vlp_jax.porting.weights import (
    LEADING_1,
    LEADING_1_1,
    SAME,
    SCALAR_1D,
    Arrays,
    Change,
    Rule,
    rule,
    to_ours,
)

IMAGE, TEXT = "params/img", "params/txt"
ATTENTION = "MultiHeadDotProductAttention_0"


def _read(to_ours) -> Change:
    """Of a format that is only read."""
    return Change(None, lambda x: (to_ours(x),))


# Flax keeps the heads as an axis: [width, heads, d], at the end [heads, d, width].
HEADS = _read(lambda x: x.reshape(x.shape[0], -1))
HEADS_OUT = _read(lambda x: x.reshape(-1, x.shape[-1]))
HEADS_BIAS = _read(lambda x: x.reshape(-1))
PATCHES = _read(lambda x: x.reshape(-1, x.shape[-1]))  # [p, q, c, width]


def _dense(ours: str, theirs: str) -> list[Rule]:
    return [
        *rule(f"{ours}/kernel", f"{theirs}/kernel", SAME),
        *rule(f"{ours}/bias", f"{theirs}/bias", SAME),
    ]


def _norm(ours: str, theirs: str) -> list[Rule]:
    return [
        *rule(f"{ours}/scale", f"{theirs}/scale"),
        *rule(f"{ours}/bias", f"{theirs}/bias"),
    ]


def _attention(ours: str, theirs: str) -> list[Rule]:
    found = []
    for name in ("query", "key", "value"):
        found += rule(f"{ours}/{name}/kernel", f"{theirs}/{name}/kernel", HEADS)
        found += rule(f"{ours}/{name}/bias", f"{theirs}/{name}/bias", HEADS_BIAS)
    found += rule(f"{ours}/out/kernel", f"{theirs}/out/kernel", HEADS_OUT)
    return found + rule(f"{ours}/out/bias", f"{theirs}/out/bias")


def _mlp(ours: str, theirs: str) -> list[Rule]:
    return _dense(f"{ours}/in", f"{theirs}/Dense_0") + _dense(
        f"{ours}/out", f"{theirs}/Dense_1"
    )


def _encoder(ours: str, theirs: str, depth: int) -> list[Rule]:
    found = _norm(f"{ours}/norm_post", f"{theirs}/encoder_norm")
    for i in range(depth):
        block, layer = f"{ours}/encoder/block_{i}", f"{theirs}/encoderblock_{i}"
        found += _norm(f"{block}/norm_1", f"{layer}/LayerNorm_0")
        found += _attention(f"{block}/attention", f"{layer}/{ATTENTION}")
        found += _norm(f"{block}/norm_2", f"{layer}/LayerNorm_1")
        found += _mlp(f"{block}/mlp", f"{layer}/MlpBlock_0")
    return found


def rules(model: Settings) -> list[Rule]:
    """The two towers of SigLIP."""
    head = f"{IMAGE}/MAPHead_0"
    return [
        *rule("logit_scale", "params/t", SCALAR_1D),
        *rule("logit_bias", "params/b", SCALAR_1D),
        *rule("image/patch_embedding/kernel", f"{IMAGE}/embedding/kernel", PATCHES),
        *rule("image/patch_embedding/bias", f"{IMAGE}/embedding/bias"),
        *rule("image/position_embedding", f"{IMAGE}/pos_embedding", LEADING_1),
        *_encoder("image", f"{IMAGE}/Transformer", model["image"]["depth"]),
        *rule("image/pool/probe", f"{head}/probe", LEADING_1_1),
        *_attention("image/pool/attention", f"{head}/{ATTENTION}"),
        *_norm("image/pool/norm", f"{head}/LayerNorm_0"),
        *_mlp("image/pool/mlp", f"{head}/MlpBlock_0"),
        *rule("text/token_embedding", f"{TEXT}/Embed_0/embedding"),
        *rule("text/position_embedding", f"{TEXT}/pos_embedding", LEADING_1),
        *_encoder("text", f"{TEXT}/Encoder_0", model["text"]["depth"]),
        *_dense("text_projection", f"{TEXT}/head"),
    ]


def read(path: Path) -> tuple[Settings, Settings, Arrays, int]:
    """(model settings, preprocessing, {our path: array}, tokens of a text)."""
    weights = _load(path)
    try:
        patches = weights[f"{IMAGE}/embedding/kernel"]
        positions = weights[f"{IMAGE}/pos_embedding"]
        length = weights[f"{TEXT}/pos_embedding"].shape[1]
        model = {
            "embedding_size": weights[f"{TEXT}/head/kernel"].shape[1],
            "project_image": False,
            "text_projection_bias": True,
            "logit_scale_init": math.log(10),
            "logit_bias_init": -10.0,
            "image": _tower(weights, f"{IMAGE}/Transformer")
            | {"kind": "siglip_vit", "patch_size": patches.shape[0]},
            "text": _tower(weights, f"{TEXT}/Encoder_0")
            | {"kind": "siglip_text", "causal": False, "pool": "last"},
        }
    except KeyError as error:
        raise ConfigError(
            f"{path} has no {error}; expected a SigLIP checkpoint of big_vision"
        ) from None
    size = math.isqrt(positions.shape[1]) * patches.shape[0]
    half = (0.5, 0.5, 0.5)
    preprocessing = {
        "image_size": size,
        "resize": "squash",
        "interpolation": "bicubic",
        "mean": half,
        "std": half,
    }
    return model, preprocessing, to_ours(rules(model), weights), length


def _tower(weights: Arrays, encoder: str) -> Settings:
    """Sizes by the shapes of a tower's first block."""
    query = weights[f"{encoder}/encoderblock_0/{ATTENTION}/query/kernel"]
    hidden = weights[f"{encoder}/encoderblock_0/MlpBlock_0/Dense_0/bias"].shape[0]
    norms = (key for key in weights if key.startswith(f"{encoder}/encoderblock_"))
    width, heads, _ = query.shape
    return {
        "width": width,
        "heads": heads,
        "depth": sum(key.endswith("LayerNorm_0/scale") for key in norms),
        "mlp_ratio": hidden / width,
        "activation": "gelu_tanh",
        "norm_epsilon": 1e-6,
    }


def _load(path: Path) -> Arrays:
    """The arrays below params/; those of an optimizer are left out."""
    try:
        with np.load(path, allow_pickle=False) as file:
            names = [name for name in file.files if name.startswith("params/")]
            return {name: file[name].astype(np.float32) for name in names}
    except FileNotFoundError:
        raise ConfigError(f"no file {path}") from None
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        said = " ".join(str(error).split())[:160]
        raise ConfigError(f"{path} is no .npz of arrays, or damaged: {said}") from None
