"""The weights of a TwoTower under the names that open_clip gives them."""

import numpy as np


def _norm(ours: str, theirs: str, params) -> dict[str, np.ndarray]:
    return {
        f"{theirs}.weight": params[f"{ours}/scale"],
        f"{theirs}.bias": params[f"{ours}/bias"],
    }


def _linear(ours: str, theirs: str, params) -> dict[str, np.ndarray]:
    return {
        f"{theirs}.weight": params[f"{ours}/kernel"].T,
        f"{theirs}.bias": params[f"{ours}/bias"],
    }


def _trunk(ours: str, theirs: str, params) -> dict[str, np.ndarray]:
    found = {}
    depth = sum(p.startswith(ours) and p.endswith("norm_1/scale") for p in params)
    for i in range(depth):
        block, layer = f"{ours}/block_{i}", f"{theirs}.resblocks.{i}"
        found |= _norm(f"{block}/norm_1", f"{layer}.ln_1", params)
        found |= _norm(f"{block}/norm_2", f"{layer}.ln_2", params)
        three = [f"{block}/attention/{name}" for name in ("query", "key", "value")]
        found[f"{layer}.attn.in_proj_weight"] = np.concatenate(
            [params[f"{x}/kernel"].T for x in three]
        )
        found[f"{layer}.attn.in_proj_bias"] = np.concatenate(
            [params[f"{x}/bias"] for x in three]
        )
        found |= _linear(f"{block}/attention/out", f"{layer}.attn.out_proj", params)
        found |= _linear(f"{block}/mlp/in", f"{layer}.mlp.c_fc", params)
        found |= _linear(f"{block}/mlp/out", f"{layer}.mlp.c_proj", params)
    return found


def open_clip_weights(params: dict[str, np.ndarray], patch_size: int):
    """{our path: array} of a CLIP with two transformers -> {their key: array}."""
    patches = params["image/patch_embedding/kernel"]  # (p q c, width)
    patches = patches.reshape(patch_size, patch_size, 3, -1).transpose(3, 2, 0, 1)
    return {
        "logit_scale": params["logit_scale"],
        "visual.conv1.weight": patches,
        "visual.class_embedding": params["image/class_token"],
        "visual.positional_embedding": params["image/position_embedding"],
        "visual.proj": params["image_projection/kernel"],
        "token_embedding.weight": params["text/token_embedding"],
        "positional_embedding": params["text/position_embedding"],
        "text_projection": params["text_projection/kernel"],
        **_norm("image/norm_pre", "visual.ln_pre", params),
        **_norm("image/norm_post", "visual.ln_post", params),
        **_norm("text/norm_post", "ln_final", params),
        **_trunk("image/encoder", "visual.transformer", params),
        **_trunk("text/encoder", "transformer", params),
    }
