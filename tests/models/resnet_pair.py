"""Residual networks of HF and open_clip, and ours, with the same weights."""

import numpy as np

from vlp_jax.core import trees
from vlp_jax.models import sizes
from vlp_jax.models.modified_resnet import ModifiedResNet
from vlp_jax.models.text import TextTransformer
from vlp_jax.models.vlm import TwoTower


def same(x):
    return x


def transposed(x):
    return x.T


def convolution(x):
    """A kernel (out, in, row, column) as ours (row, column, in, out)."""
    return x.transpose(2, 3, 1, 0)


def conv_norm(ours, conv, norm):
    return {
        f"{ours}/kernel": (f"{conv}.weight", convolution),
        f"{ours}/norm/scale": (f"{norm}.weight", same),
        f"{ours}/norm/bias": (f"{norm}.bias", same),
        f"{ours}/norm/mean": (f"{norm}.running_mean", same),
        f"{ours}/norm/variance": (f"{norm}.running_var", same),
    }


def open_clip_table(depths):
    """our path -> (their key, tensor change) of open_clip's ModifiedResNet."""
    table = {"position_embedding": ("attnpool.positional_embedding", same)}
    for name, key in (("query", "q"), ("key", "k"), ("value", "v"), ("out", "c")):
        table |= {
            f"attention/{name}/kernel": (f"attnpool.{key}_proj.weight", transposed),
            f"attention/{name}/bias": (f"attnpool.{key}_proj.bias", same),
        }
    for i in (1, 2, 3):
        table |= conv_norm(f"stem_{i}", f"conv{i}", f"bn{i}")
    for stage, depth in enumerate(depths, 1):
        for i in range(depth):
            ours, theirs = f"stage_{stage}/block_{i}", f"layer{stage}.{i}"
            for j in (1, 2, 3):
                conv = f"{theirs}.conv{j}", f"{theirs}.bn{j}"
                table |= conv_norm(f"{ours}/conv_{j}", *conv)
            if i == 0:
                down = f"{theirs}.downsample.0", f"{theirs}.downsample.1"
                table |= conv_norm(f"{ours}/shortcut", *down)
    return table


def drawn(shapes, seed=0):
    """Values that matter everywhere for {path: shape}; variances are positive."""
    rng, found = np.random.default_rng(seed), {}
    for path in sorted(shapes):
        noise = rng.normal(size=shapes[path].shape).astype(np.float32)
        if path.endswith("variance"):
            found[path] = np.exp(0.3 * noise)
        elif path.endswith("scale"):
            found[path] = 1 + 0.3 * noise
        elif path.endswith("kernel"):
            found[path] = noise * np.float32(np.prod(noise.shape[:-1]) ** -0.5)
        else:
            found[path] = 0.3 * noise
    return found


def variables(model, size, seed=0):
    """Drawn variables of a tower as it is applied with: {collection: tree}."""
    import jax

    pictures = np.zeros((1, size, size, 3), np.float32)
    shapes = dict(jax.eval_shape(model.init, jax.random.key(0), pictures))
    values = drawn(trees.flatten(trees.union(shapes)), seed)
    return trees.apart(trees.unflatten(values), shapes)


def pictures(size, rows=6, seed=1):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(rows, size, size, 3)).astype(np.float32)


# A small one of CLIP's, with pictures for two steps and the direction of a loss.
CLIP = dict(depths=(2, 1, 1, 1), stem_width=4, width=6, image_size=64)
CLIP_PICTURES = [pictures(64, seed=seed) for seed in (5, 6)]
CLIP_DIRECTION = np.random.default_rng(3).normal(size=(6, 6)).astype(np.float32)
# The first row of what open_clip 3.3.0 gives: in evaluation, and in training.
OPEN_CLIP = {
    "evaluation": [
        -0.7330135,
        -0.0627983,
        -0.2152187,
        0.6052377,
        -0.9396221,
        -0.2172754,
    ],
    "0/embedding": [
        1.0152490,
        -0.0245465,
        -0.5987396,
        0.3223365,
        -0.1546713,
        1.3283928,
    ],
}

# size -> (text width, heads), pixels (Radford et al. 2021, table 19)
PUBLISHED = {
    "RN50": (512, 8, 224),
    "RN101": (512, 8, 224),
    "RN50x4": (640, 10, 288),
    "RN50x16": (768, 12, 384),
    "RN50x64": (1024, 16, 448),
}


def published(size):
    """CLIP with a residual network of that name."""
    width, heads, pixels = PUBLISHED[size]
    tower = ModifiedResNet(image_size=pixels, **sizes.modified_resnet(size))
    text = dict(width=width, heads=heads, depth=12)
    return TwoTower(
        tower,
        TextTransformer(vocab_size=49_408, length=77, eos_id=49_407, **text),
        embedding_size=tower.width,
        image_mean=(0.5,) * 3,
        image_std=(0.5,) * 3,
        project_image=False,
    )
