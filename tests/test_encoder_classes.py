"""Classes from Python: by learned prompts, by labels of one's own, by a head."""

import numpy as np
import pytest

import vlp_jax
from tests.few_shot import CONTEXT, PICTURES, STRATEGIES, labelled
from vlp_jax.core.class_prompts import fill
from vlp_jax.core.errors import ConfigError
from vlp_jax.data.sources.scene_words import NUMBERS
from vlp_jax.runs import TrainingRun


def test_classes_from_python(pretrained, adapted, tmp_path):
    model = vlp_jax.load(str(adapted[0]), batch_size=2)
    found = model.classify(PICTURES)
    assert model.class_names == NUMBERS and found.shape == (5, 10)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-6)
    cosines = model.encode_image(PICTURES) @ model.encode_text(fill(CONTEXT, NUMBERS)).T
    logits = np.exp(model.logit_scale * cosines)
    expected = logits / logits.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, rtol=1e-3)
    assert model.classify(PICTURES[0], ["one", "two"], "a {}").shape == (1, 2)
    with pytest.raises(ConfigError, match="was not trained to tell classes apart; giv"):
        vlp_jax.load(str(pretrained)).classify(PICTURES)

    config = labelled(pretrained, **STRATEGIES["head"])
    run = TrainingRun(config, tmp_path)
    run.finish(run.start())
    head = vlp_jax.load(str(tmp_path))
    assert head.class_names == NUMBERS and not head.can("embed")
    assert head.classify(PICTURES).shape == (5, 10)
    with pytest.raises(ConfigError, match="tells its own 10 classes apart .zero"):
        head.classify(PICTURES, ["one", "two"])
    with pytest.raises(ConfigError, match="cannot classify_text: it has no classes"):
        head.classify_text("a one")
