"""The worked example of docs/adding_a_loss.md, as it stands there, trains a model."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vlp_jax import objectives, recipe, runs
from vlp_jax.core.logs import read_rows

PAGE = Path(__file__).parents[1] / "docs" / "adding_a_loss.md"


def example_class(tmp_path):
    code = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL).group(1)
    names = {"__name__": "alignment"}
    exec(compile(code, str(PAGE), "exec"), names)
    return names


@pytest.mark.long
def test_the_example_is_a_loss_of_the_recipe_and_is_learned(tmp_path, monkeypatch):
    page = example_class(tmp_path)
    monkeypatch.setitem(objectives.OBJECTIVES, "alignment", page["Alignment"])
    config = recipe.pretraining()
    config.batch_size, config.steps, config.log_every = 16, 12, 1
    config.data.train.update(kind="digit_scenes", size=64)
    config.preprocessing.image_size = 48
    config.tokenizer.update(vocab_size=300, length=16, train_samples=50)
    config.model.embedding_size = 16
    config.model.image.update(patch_size=24, width=32, depth=1, heads=2)
    config.model.text.update(width=32, depth=1, heads=2)
    config.learning_rate.update(peak=3e-3)
    config.objectives.alignment.weight = 1.0
    config.objectives.alignment.alpha = 2.0

    run = runs.TrainingRun(config, tmp_path)
    run.finish(run.start())

    losses = [row["alignment/loss"] for row in read_rows(tmp_path)]
    assert len(losses) == 12
    assert losses[-1] < 0.5 * losses[0]
    assert "contrastive/loss" not in read_rows(tmp_path)[0]


def test_the_example_computes_its_equation(tmp_path):
    loss = example_class(tmp_path)["alignment_loss"]
    image = jnp.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    text = jnp.array([[0.0, 1.0], [0.0, 1.0], [-1.0, 0.0]])
    valid = jnp.array([True, True, False])
    np.testing.assert_allclose(loss(image, text, valid, 2.0), 2.0, rtol=1e-6)
    assert jnp.isfinite(jax.grad(loss)(text, text, valid, 1.0)).all()
