"""A tower and a linear head, of pictures and of texts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vlp_jax.core import trees
from vlp_jax.core.errors import ConfigError
from vlp_jax.models.abilities import abilities
from vlp_jax.models.classifier import ImageClassifier, TextClassifier
from vlp_jax.models.text import TextTransformer
from vlp_jax.models.vit import ViT

SIZES = dict(width=16, depth=1, heads=2)
IMAGE = ViT(**SIZES, image_size=8, patch_size=4)
TEXT = TextTransformer(**SIZES, vocab_size=20, length=5, eos_id=3)
STATISTICS = dict(image_mean=(0.5,) * 3, image_std=(0.5,) * 3)
PICTURES = jax.random.randint(jax.random.key(1), (2, 8, 8, 3), 0, 256, jnp.uint8)
TOKENS = jnp.array([[1, 5, 6, 3, 0], [1, 7, 3, 0, 0]])


def check(model, *rows, tower):
    variables = model.init(jax.random.key(0), PICTURES, TOKENS)
    assert set(variables["params"]) == {tower, "class_head"}
    scores = model.apply(variables, *rows, method="class_logits")
    assert scores.shape == (2, 3) and scores.dtype == jnp.float32 and not scores.any()
    variables["params"]["class_head"]["bias"] = jnp.arange(3.0)
    found = model.apply(variables, *rows, method="class_logits")
    np.testing.assert_array_equal(found, [[0, 1, 2]] * 2)
    assert trees.count(variables["params"]["class_head"]) == 16 * 3 + 3


def test_pictures():
    model = ImageClassifier(3, IMAGE, **STATISTICS)
    check(model, PICTURES, tower="image")
    able = abilities(model, ())
    assert able["classify"] and not able["classify_text"] and not able["embed"]


def test_texts():
    model = TextClassifier(3, TEXT)
    check(model, TOKENS, tower="text")
    able = abilities(model, ())
    assert able["classify_text"] and not able["classify"]


def test_a_run_without_classes():
    with pytest.raises(ConfigError, match="this run has 0; set --config.labels.train"):
        TextClassifier(0, TEXT).init(jax.random.key(0), PICTURES, TOKENS)
