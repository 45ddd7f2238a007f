"""The class in the folder of an export, as its users meet it."""

import runpy

import numpy as np
import torch
from PIL import Image

from tests.porting.random_models import random_model
from vlp_jax import endpoints
from vlp_jax.models.text import POOLS
from vlp_jax.porting import hf_own_class

CLASS = runpy.run_path(str(hf_own_class.CODE))


def test_the_pools_are_those_of_the_tower():
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 9, 20)
    mask = np.arange(8) < lengths[:, None]
    ids = np.where(mask, rng.integers(0, 50, (20, 8)), 49)
    assert CLASS["POSITIONS"].keys() == POOLS.keys()
    for name, pool in POOLS.items():
        given = torch.tensor(ids), torch.tensor(mask.astype(int))
        found = CLASS["POSITIONS"][name](*given, 49)
        np.testing.assert_array_equal(found, pool(ids, mask, 49), err_msg=name)


def test_its_config_can_be_made_from_nothing():
    """transformers makes one to find what a saved config differs in."""
    config = CLASS["DualEncoderConfig"]()
    assert config.vision_config.model_type == "resnet"
    assert config.text_config.model_type == "bert"


def test_a_pipeline_takes_it(tmp_path):
    """The one that the model card names."""
    from transformers import pipeline

    image = dict(kind="resnet", depths=(1, 1), stem_width=4, block="bottleneck")
    text = dict(kind="gpt2", pool="last_unmasked", width=16, depth=2, heads=2)
    model = random_model(image, text)
    folder = endpoints.write(f"hf:{tmp_path / 'there'}", model)
    kind = "zero-shot-image-classification"
    classify = pipeline(kind, model=str(folder), trust_remote_code=True)
    found = classify(
        Image.new("RGB", (40, 30)),
        candidate_labels=["a cat", "a dog"],
        hypothesis_template="{}",
    )
    assert {x["label"] for x in found} == {"a cat", "a dog"}
    assert abs(sum(x["score"] for x in found) - 1) < 1e-6
