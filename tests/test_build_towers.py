"""A config's towers: sizes by name, residual networks and their statistics."""

import pytest

from tests.recipes import pretraining, tiny
from tests.test_build import model_of
from vlp_jax import build
from vlp_jax.core.errors import ConfigError


def test_a_model_has_the_sizes_that_are_named_and_those_that_are_set():
    chosen = pretraining(model__embedding_size=16, model__image__depth=2)
    chosen.model.image.size, chosen.model.text.size = "S/16", "B"
    chosen.preprocessing.update(image_size=64, mean=(0.1, 0.2, 0.3))
    model = model_of(chosen)
    image, text = model.image, model.text
    assert (image.width, image.depth, image.patch_size, image.image_size) == (
        *(384, 2, 16, 64),
    )
    assert (text.width, text.heads, text.vocab_size, text.eos_id) == (512, 8, 300, 3)
    assert model.image_mean == (0.1, 0.2, 0.3) and model.embedding_size == 16
    chosen.model.image.kind = "vitt"
    with pytest.raises(ConfigError, match="unknown model.image.kind 'vitt'.*'vit'"):
        model_of(chosen)


def test_a_model_may_have_tokens_of_its_own():
    """BLIP's towers know two more than the tokenizer; its other parts are optional."""
    chosen = pretraining(model__kind="blip", model__embedding_size=16)
    chosen.model.image.update(kind="plain_vit", size="S/16")
    chosen.model.text.update(kind="mixed_bert", size="mini")
    model = model_of(chosen)
    assert (model.text.vocab_size, model.start_id, model.bos_id) == (302, 300, 2)
    assert model.decoder is None and model.text.width == 256
    chosen.model.decoder.update(kind="bert", size="mini", token_types=0)
    chosen.model.update({"embedding_size": None, "matching": False})
    chosen.model.text.update(dict.fromkeys(("kind", "size")))
    model = model_of(chosen)
    assert model.text is None and model.decoder.vocab_size == 302
    assert model.start_id == 300


def residual(**image):
    """The tiny recipe with CLIP's residual network."""
    chosen = tiny(model__project_image=False)
    chosen.model.image.update(
        **dict.fromkeys(("patch_size", "depth", "heads")),
        **{"kind": "modified_resnet", "depths": (1, 1), "stem_width": 8, **image},
    )
    return chosen


def test_a_residual_network_has_sizes_of_its_own():
    chosen = residual(depths=None, stem_width=None, width=None, size="RN50x4")
    chosen.model.embedding_size, chosen.preprocessing.image_size = 640, 288
    image = model_of(chosen).image
    assert (image.depths, image.stem_width, image.width) == ((4, 6, 10, 6), 80, 640)
    assert image.image_size == 288
    chosen.model.image.update(kind="resnet", size="RN18", stem_width=8)
    image = model_of(chosen).image
    assert (image.depths, image.block, image.width) == ((2, 2, 2, 2), "basic", 64)
    chosen.model.image.scan = True
    with pytest.raises(ConfigError, match="kind 'resnet' has no setting 'scan'"):
        model_of(chosen)


def test_a_locked_tower_has_frozen_statistics():
    chosen = residual()
    chosen.trainable = ("^text/",)
    init = build.init_function(model_of(chosen), image_size=24, length=8)
    with pytest.raises(ConfigError, match="set --config.model.image.frozen_statistics"):
        build.make_trainable(chosen, init)
    chosen.model.image.frozen_statistics = True
    assert build.make_trainable(chosen, init)("text/token_embedding")
    chosen.model.image.frozen_statistics = None
    chosen.trainable = ("^text/", "^image/")
    assert not build.make_trainable(chosen, init)("logit_scale")
