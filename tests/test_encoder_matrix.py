"""Every image tower learns with every text tower, from a recipe that names the two."""

import jax
import numpy as np
import pytest

from tests.test_learner import learner, pairs
from vlp_jax.parallel.sharding import place_batch

STEPS = 12


@pytest.mark.parametrize(
    ("image", "text"),
    [
        ("vit", "bert"),
        ("plain_vit", "gpt2"),
        pytest.param("vit", "roberta", marks=pytest.mark.long),
        pytest.param("vit", "gpt2", marks=pytest.mark.long),
        pytest.param("plain_vit", "bert", marks=pytest.mark.long),
        pytest.param("plain_vit", "roberta", marks=pytest.mark.long),
    ],
)
def test_a_pair_of_towers_learns(image, text):
    """One batch by heart: chance is a loss of 2.8. One projection is shared, too."""
    found = learner(
        devices=1,
        model__image__kind=image,
        model__text__kind=text,
        model__text__dropout=0.1,
        model__share_projection=image == "vit",
        learning_rate__peak=3e-3,
        learning_rate__warmup_steps=0,
        ema_decay=None,
    )
    state, batch = found.fresh_state({}), place_batch(pairs(16), found.mesh)
    update, losses = found.update(found.state_shapes()), []
    with jax.set_mesh(found.mesh):
        for _ in range(STEPS):
            state, metrics = update(state, batch)
            losses.append(float(metrics["loss"]))
    assert np.isfinite(losses).all()
    assert losses[0] > 2.5 and losses[-1] < 1.0
