"""open_clip's residual CLIP: weights and statistics come back, strictly, to the bit."""

import dataclasses

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.models.resnet_pair import open_clip_table
from tests.porting.random_models import RESNET, TEXT, random_model, residual
from tests.porting.tiny_models import (
    assert_refused,
    assert_same_bits,
    change_json,
    short,
)
from vlp_jax import endpoints, proof
from vlp_jax.core.errors import ConfigError, RunError
from vlp_jax.models import sizes
from vlp_jax.porting import open_clip, open_clip_resnet
from vlp_jax.porting.weights import to_ours, to_theirs

CONFIG, WEIGHTS = "open_clip_config.json", "open_clip_model.safetensors"


@pytest.fixture(scope="module")
def model():
    return residual()


@pytest.fixture
def folder(model, tmp_path):
    return endpoints.write(f"open_clip:{tmp_path / 'there'}", model)


def test_weights_go_and_come_back_to_the_bit(model):
    ours, rules = model.parameters, open_clip_resnet.rules(model.description.model)
    theirs = to_theirs(rules, ours)
    assert_same_bits(to_ours(rules, theirs), ours)
    assert theirs["visual.conv1.weight"].shape == (2, 3, 3, 3)  # [out, in, 3, 3]
    assert theirs["visual.attnpool.c_proj.weight"].shape == (12, 128)
    # The table with which tests/peers compares the towers themselves.
    table = open_clip_table(RESNET["depths"])
    assert {f"image/{path}" for path in table} == {p for p in ours if p[:6] == "image/"}
    for path, (key, change) in table.items():
        expected = ours[f"image/{path}"]
        np.testing.assert_array_equal(change(theirs[f"visual.{key}"]), expected, path)
    counted = [key for key in theirs if key.endswith("num_batches_tracked")]
    assert len(counted) == len([key for key in theirs if key.endswith("_mean")])
    assert {theirs[key].dtype for key in counted} == {np.dtype(np.int64)}


def test_the_folder_comes_back(model, folder):
    found = endpoints.read(f"open_clip:{folder}")
    assert_same_bits(found.parameters, model.parameters)
    for tower in ("image", "text"):
        described = found.description.model[tower]
        assert described == model.description.model[tower]
    tokens = dataclasses.replace(model.description.tokens, canonicalise="open_clip")
    assert found.description.tokens == tokens
    assert (
        found.count() == model.count() < sum(x.size for x in model.parameters.values())
    )


def test_a_folder_proves_itself(model, folder):
    """Read back it computes the same; tests/peers has open_clip compute it."""
    found = proof.prove("open_clip", folder, model)
    assert (
        found
        and all(p.holds for p in found)
        and found[0].differences == {"embeddings": 0}
    )
    moved = dict(model.parameters)
    moved["image/stem_1/norm/mean"] = moved["image/stem_1/norm/mean"] + 1
    with pytest.raises(RunError, match="does not hold what was read: image/stem_1/no"):
        proof.prove("open_clip", folder, dataclasses.replace(model, parameters=moved))


def test_how_many_batches_were_seen_is_not_read(model, folder):
    weights = load_file(folder / WEIGHTS)
    seen = {k: np.full_like(v, 900) for k, v in weights.items() if "num_batch" in k}
    assert seen
    save_file(weights | seen, folder / WEIGHTS)
    found = endpoints.read(f"open_clip:{folder}")
    assert_same_bits(found.parameters, model.parameters)


STATISTIC = "visual.layer3.0.bn2.running_mean"


def refused(folder, *said):
    assert_refused(lambda: endpoints.read(f"open_clip:{folder}"), *said)


def test_keys_that_are_not_those_of_the_model(folder):
    weights = load_file(folder / WEIGHTS)
    save_file(weights | {"visual.layer1.2.bn1.weight": np.zeros(4)}, folder / WEIGHTS)
    refused(folder, "1 unexpected: visual.layer1.2.bn1.weight")
    missing = {key: array for key, array in weights.items() if key != STATISTIC}
    save_file(missing, folder / WEIGHTS)
    refused(folder, f"1 missing: {STATISTIC}")
    save_file(weights | {STATISTIC: np.zeros(7, np.float32)}, folder / WEIGHTS)
    refused(folder, "image/stage_3/block_0/conv_2/norm/mean (expected [16], got [7])")


@pytest.mark.parametrize("size", sizes.MODIFIED_RESNET)
def test_the_settings_of_published_models(size):
    """As open_clip writes them, with what it leaves out."""
    shape = sizes.modified_resnet(size)
    vision = {"layers": list(shape["depths"]), "width": shape["stem_width"]}
    vision |= {"patch_size": None, "image_size": 224}
    text = dict(context_length=77, vocab_size=49408, width=512, heads=8, layers=12)
    config = {"embed_dim": shape["width"], "quick_gelu": True}
    found = open_clip_resnet.read(config | {"vision_cfg": vision, "text_cfg": text})
    assert found["image"] == {"kind": "modified_resnet", **shape}
    assert found["embedding_size"] == shape["width"] and not found["project_image"]
    assert found["text"]["activation"] == "quick_gelu"
    assert found["text"]["pool"] == "largest_id"


SETTINGS = {
    "gelu": dict(text=TEXT | {"activation": "gelu"}),
    "other ratio": dict(text=TEXT | {"mlp_ratio": 2.5, "norm_epsilon": 1e-3}),
    "biases": dict(logit_bias_init=-10.0, text_projection_bias=True),
}


@pytest.mark.parametrize("case", SETTINGS)
def test_settings_go_and_come_back(case):
    given = dict(image=RESNET, image_size=64, project_image=False) | SETTINGS[case]
    model = random_model(**given)
    written = open_clip_resnet.write(model.description)
    found = open_clip_resnet.read(
        written | {"text_cfg": open_clip.TEXT | written["text_cfg"]}
    )
    described = model.description.model
    assert found["text"].items() <= described["text"].items()
    for key in ("embedding_size", "logit_bias_init"):
        assert found.get(key) == described.get(key), key
    assert found.get("text_projection_bias", False) == described["text_projection_bias"]


# Settings of ours that it has no words for, and what is said.
REFUSED = {
    "a projection": (dict(image=RESNET), "have no image projection behind"),
    "three stages": (
        dict(image=RESNET | {"depths": (1, 1, 1)}, project_image=False),
        "have 4 stages; this model has 3",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_it_cannot_say_is_refused(case, tmp_path):
    given, said = REFUSED[case]
    model = random_model(**given, image_size=64)
    with pytest.raises(ConfigError, match=said) as error:
        endpoints.write(f"open_clip:{tmp_path / 'new'}", model)
    assert short(error) and list(tmp_path.iterdir()) == []


UNKNOWN = {
    "layers": ([1, 1, 1], "has 3 stages and head_width=64; expected 4 and 64"),
    "head_width": (32, "head_width=32; expected 4 and 64"),
    "attentional_pool": (True, "attentional_pool"),
    "image_size": (80, "image_size is 80, which cannot be halved 5 times"),
}


@pytest.mark.parametrize("key", UNKNOWN)
def test_what_we_lack_is_refused(key, folder):
    value, said = UNKNOWN[key]
    change_json(folder / CONFIG, **{f"model_cfg__vision_cfg__{key}": value})
    refused(folder, said)
