"""Several objectives as one: weights, schedules, metrics, what is left out."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.objectives.pairs import error, random_pairs, softmax_reference, some_valid
from tests.parallel.meshes import make_mesh
from vlp_jax.core.errors import ConfigError
from vlp_jax.core.types import Need, Term
from vlp_jax.objectives.contrastive import Contrastive
from vlp_jax.objectives.mixture import Mixture, Schedule


class Spread:
    """A second objective: the sum of squares of the text embeddings."""

    scope = "global"
    needs = (Need("text_embedding"), Need("valid"))

    def initial_state(self):
        return ()

    def __call__(self, outputs, step, state):
        text, valid = (outputs[need] for need in self.needs)
        return Term(jnp.square(text).sum(), valid.sum().astype(jnp.float32))


def mixture_gradients(step=0, schedules=None, **weights):
    mesh = make_mesh(2, 4)
    known = {"contrastive": Contrastive(mesh, tile_size=5), "spread": Spread()}
    mixture = Mixture({name: known[name] for name in weights}, weights, schedules or {})
    image, text = random_pairs(16, 8)
    inputs = {"image_embedding": image, "text_embedding": text, "logit_scale": 2.0}

    @jax.jit
    def value_and_gradients(inputs, step):
        def loss(inputs):
            outputs = {Need(name): x for name, x in inputs.items()}
            outputs[Need("valid")] = jnp.asarray(some_valid(16))
            return mixture(outputs, step, mixture.initial_state())[:2]

        return jax.value_and_grad(loss, has_aux=True)(inputs)

    (value, metrics), gradients = value_and_gradients(inputs, jnp.int32(step))
    return value, metrics, gradients, mixture


def test_objective_divides_by_the_valid_pairs():
    value, metrics, gradients, _ = mixture_gradients(contrastive=1.0)
    image, text = random_pairs(16, 8)
    total, *expected = softmax_reference(image, text, 2.0, some_valid(16))
    assert error(value, total / 12) <= 1e-5
    names = ("image_embedding", "text_embedding", "logit_scale")
    for name, gradient in zip(names, expected, strict=True):
        assert error(gradients[name], gradient / 12) <= 1e-5
    assert metrics["contrastive/loss"] == metrics["loss"] == value
    np.testing.assert_allclose(metrics["contrastive/scale"], math.exp(2), rtol=1e-6)


def test_weight_zero_removes_a_term_exactly():
    *alone, mixture_alone = mixture_gradients(contrastive=1.0)
    *with_zero, mixture = mixture_gradients(contrastive=1.0, spread=0.0)
    assert set(mixture.needs) == set(mixture_alone.needs)
    assert mixture.initial_state().keys() == {"contrastive"}
    jax.tree.map(np.testing.assert_array_equal, with_zero, alone)
    _, _, gradients, mixture = mixture_gradients(contrastive=0.0, spread=1.0)
    assert Need("image_embedding") not in mixture.needs
    assert not np.asarray(gradients["image_embedding"]).any()


def test_gradient_of_a_mixture_is_the_weighted_sum():
    _, _, contrastive, _ = mixture_gradients(contrastive=1.0)
    _, _, spread, _ = mixture_gradients(spread=1.0)
    _, _, scaled, _ = mixture_gradients(contrastive=0.25)
    _, metrics, both, _ = mixture_gradients(contrastive=0.25, spread=3.0)
    for name in contrastive:
        np.testing.assert_allclose(scaled[name], contrastive[name] / 4, rtol=1e-6)
        expected = 0.25 * np.float64(contrastive[name]) + 3 * np.float64(spread[name])
        assert error(both[name], expected) <= 1e-6
    terms = 0.25 * metrics["contrastive/loss"] + 3 * metrics["spread/loss"]
    np.testing.assert_allclose(metrics["loss"], terms, rtol=1e-6)


# ---- schedules


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (Schedule(), [1, 1, 1, 1, 1, 1]),
        (Schedule(start_step=3), [0, 0, 0, 1, 1, 1]),
        (Schedule(ramp_steps=4), [0, 0.25, 0.5, 0.75, 1, 1]),
        (Schedule(start_step=2, ramp_steps=2), [0, 0, 0, 0.5, 1, 1]),
        (Schedule(end_step=2), [1, 1, 0, 0, 0, 0]),
        (Schedule(1, 2, 4), [0, 0, 0.5, 1, 0, 0]),
    ],
)
def test_schedules(schedule, expected):
    found = [float(schedule(jnp.int32(step))) for step in range(6)]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_scheduled_term_is_added_when_its_time_has_come():
    options = {"contrastive": 0.5, "spread": 3.0}
    schedules = {"spread": Schedule(start_step=10, ramp_steps=4, end_step=20)}
    alone = mixture_gradients(contrastive=0.5)[2]
    both = mixture_gradients(**options)[2]
    for step, factor in ((9, 0), (11, 0.25), (19, 1), (20, 0)):
        value, metrics, gradients, _ = mixture_gradients(step, schedules, **options)
        terms = 0.5 * metrics["contrastive/loss"]
        terms += 3 * factor * metrics["spread/loss"]
        np.testing.assert_allclose(value, terms, rtol=1e-6)
        assert metrics["spread/weight"] == 3 * factor
        assert "contrastive/weight" not in metrics
        for name, gradient in gradients.items():
            given = np.float64(alone[name])
            expected = given + factor * (np.float64(both[name]) - given)
            assert error(gradient, expected) <= 1e-6
            if not factor:
                np.testing.assert_array_equal(gradient, alone[name])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"start_step": -1}, "start_step is -1; expected at least 0"),
        ({"ramp_steps": -1}, "ramp_steps is -1"),
        ({"start_step": 5, "end_step": 5}, "end_step is 5; expected at least 6"),
    ],
)
def test_wrong_schedules_are_explained(settings, said):
    with pytest.raises(ConfigError, match=said):
        Schedule(**settings)


# ---- streams


class Asking(Spread):
    """An objective that learns from questions, and says what it was told."""

    needs = (Need("answer_labels", "questions"), Need("text_embedding"))

    def describe(self, batch):
        return f"of {batch}"

    def check(self, batch, samples):
        self.checked = batch, samples


def test_an_objective_is_told_the_size_of_its_own_stream():
    asking, spread = Asking(), Spread()
    known = {"asking": asking, "spread": spread, "other": Asking()}
    mixture = Mixture(known, {"asking": 1.0, "spread": 1.0, "other": 0.0})
    assert mixture.streams == {"asking": ["questions", "pairs"], "spread": ["pairs"]}
    sizes = {"pairs": 16, "questions": 8}
    assert mixture.describe(sizes) == {"asking": "of 8"}
    mixture.check(sizes, {"pairs": 100, "questions": 50})
    assert asking.checked == (8, 50) and not hasattr(known["other"], "checked")
