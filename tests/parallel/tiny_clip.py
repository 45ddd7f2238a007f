"""A model small enough for every mesh, and batches for it."""

import functools

import jax.numpy as jnp
import numpy as np
import optax

from vlp_jax.models.text import TextTransformer
from vlp_jax.models.vit import ViT
from vlp_jax.models.vlm import TwoTower
from vlp_jax.training.state import make_state

# Adam divides a gradient by its own size: where that is noise, so is the update, and
# parameters may part by the learning rate however exact the gradients are. So steps
# are compared under plain gradient descent with momentum.
SGD = optax.sgd(0.05, momentum=0.9)


def tiny_model(**settings):
    """Wide enough that fsdp splits its matrices (64 x 64 numbers and more)."""
    shape = dict(width=64, depth=1, heads=2, mlp_ratio=2.0)
    return TwoTower(
        ViT(image_size=8, patch_size=4, **shape),
        TextTransformer(vocab_size=64, length=6, eos_id=3, **shape),
        embedding_size=64,
        image_mean=(0.5, 0.5, 0.5),
        image_std=(0.3, 0.3, 0.3),
        **settings,
    )


def tiny_init(**settings):
    """key -> variables of the tiny model."""
    return functools.partial(
        tiny_model(**settings).init,
        images=jnp.zeros((1, 8, 8, 3), jnp.uint8),
        tokens=jnp.zeros((1, 6), jnp.int32),
    )


def make_tiny_state():
    """Its state under descent with momentum, with a moving average."""
    return make_state(tiny_init(), SGD, {"contrastive": ()}, averages=("ema",), seed=0)


def batch_of(step, size):
    """Random pictures and texts; row 5 only fills up."""
    rng = np.random.default_rng(step)
    tokens = rng.integers(4, 64, (size, 6)).astype(np.int32)
    tokens[:, 4] = 3
    return {
        "pairs": {
            "image": rng.integers(0, 256, (size, 8, 8, 3)).astype(np.uint8),
            "text_tokens": tokens,
            "text_mask": np.ones((size, 6), bool),
            "valid": np.arange(size) != 5,
        }
    }
