"""transformers' image towers in our settings and back; what we lack is refused."""

import pytest
from transformers import CLIPVisionConfig, ResNetConfig, ViTConfig

from tests.porting.random_models import VIT, random_model
from tests.porting.tiny_models import short
from vlp_jax.core.errors import ConfigError
from vlp_jax.porting.hf_image_towers import IMAGES

CONFIGS = {"plain_vit": ViTConfig, "vit": CLIPVisionConfig, "resnet": ResNetConfig}
BASE = dict(width=768, depth=12, heads=12, mlp_ratio=4)
PUBLISHED = {
    "plain_vit": BASE
    | dict(patch_size=16, pool="pooler", activation="gelu", norm_epsilon=1e-12),
    "vit": BASE
    | dict(patch_size=32, pool="class", activation="quick_gelu", norm_epsilon=1e-5),
    "resnet": dict(block="bottleneck", depths=(3, 4, 6, 3), stem_width=64),
}
TINY = {
    "plain_vit": VIT | dict(kind="plain_vit", pool="pooler"),
    "vit": VIT,
    "resnet": dict(kind="resnet", depths=(1, 2), stem_width=6, block="basic"),
}


@pytest.mark.parametrize("kind", IMAGES)
def test_settings_of_published_towers(kind):
    """As transformers writes what is usual: a ResNet-50 among them."""
    assert IMAGES[kind].read(CONFIGS[kind]().to_dict()) == PUBLISHED[kind]


@pytest.mark.parametrize("kind", IMAGES)
def test_settings_go_and_come_back(kind):
    given, tower = random_model(TINY[kind]).description, IMAGES[kind]
    config = CONFIGS[kind](**tower.write(given)).to_dict()
    found, image = tower.read(config), given.model["image"]
    assert found == {key: image[key] for key in found} | (
        {"depths": tuple(image["depths"])} if kind == "resnet" else {}
    )
    assert tower.rules(found) == tower.rules(image)


UNKNOWN = {
    "a pooler": ("plain_vit", dict(pooler_act="relu"), "pooler_act='relu'"),
    "widths": ("resnet", dict(hidden_sizes=[8, 16, 32, 48]), r"\[8, 16, 32, 48\]"),
    "strides": ("resnet", dict(downsample_in_bottleneck=True), r"\(False, True\)"),
    "a stride": ("resnet", dict(downsample_in_first_stage=True), r"\(True, False\)"),
    "an activation": ("resnet", dict(hidden_act="gelu"), "hidden_act='gelu'"),
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_what_we_lack_is_refused(case):
    kind, changes, said = UNKNOWN[case]
    with pytest.raises(ConfigError, match=said) as error:
        IMAGES[kind].read(CONFIGS[kind](**changes).to_dict())
    assert short(error)


@pytest.mark.parametrize(("kind", "pool"), [("plain_vit", "mean"), ("vit", "mean")])
def test_another_pooling_is_refused(kind, pool):
    given = random_model(TINY[kind] | {"pool": pool}).description
    with pytest.raises(ConfigError, match="model.image.pool is 'mean'") as error:
        IMAGES[kind].write(given)
    assert short(error)
