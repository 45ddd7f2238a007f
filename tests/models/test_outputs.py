"""Named outputs: each computed once, with a key of its own, under the right weights."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from vlp_jax.core.errors import ConfigError
from vlp_jax.core.types import Need
from vlp_jax.models.outputs import (
    check_outputs,
    compute_outputs,
    inference,
    known_outputs,
    method_of,
)

IMAGE, TEXT = Need("image_embedding"), Need("text_embedding")
BATCH = {
    "pairs": {
        "image": jnp.ones((4, 3)),
        "text_tokens": jnp.full((4, 3), 2.0),
        "valid": jnp.array([True, True, False, True]),
    }
}


class Fake(nn.Module):
    """Counts its calls, draws from its key and keeps a running number."""

    log: Callable  # takes what is called

    def setup(self):
        self.gain = self.param("gain", nn.initializers.ones, ())
        self.seen = self.variable("batch_stats", "seen", lambda: jnp.zeros(()))

    def image_embedding(self, image):
        self.log("image")
        if self.is_mutable_collection("batch_stats"):
            self.seen.value += 1
        noise = 0.0
        if self.has_rng("dropout"):
            noise = jax.random.uniform(self.make_rng("dropout"), (len(image),))
        return self.gain * image[:, 0] + noise

    def text_embedding(self, text_tokens, text_mask=None):
        self.log("text" if text_mask is None else "masked text")
        noise = jax.random.uniform(self.make_rng("dropout"), (len(text_tokens),))
        return self.gain * text_tokens[:, 0] + noise

    def joint(self, image_embedding, text_embedding, flipped=None):
        self.log("joint")
        return self.gain * (image_embedding + text_embedding)


class Headless(Fake):
    lacks = ("joint",)


def run(needs, batch=BATCH, key=0, gain=1.0, derived=None, **others):
    log = []
    model = Fake(log.append)
    live = {
        "params": {"gain": jnp.float32(gain)},
        "batch_stats": {"seen": jnp.zeros(())},
    }
    outputs, changed = compute_outputs(model, derived)(
        {"live": live, **others}, needs, batch, jax.random.key(key)
    )
    return outputs, changed, log


def test_every_need_is_computed_once():
    outputs, changed, log = run([IMAGE, TEXT, IMAGE, Need("image_embedding")])
    assert outputs.keys() == {IMAGE, TEXT}
    assert sorted(log) == ["image", "text"]
    assert changed == {"batch_stats": {"seen": 1}}


def test_what_nobody_needs_is_not_computed():
    outputs, changed, log = run([TEXT])
    assert outputs.keys() == {TEXT} and log == ["text"]
    assert changed == {"batch_stats": {"seen": 0}}


def test_keys_come_from_names_not_from_order():
    both, _, _ = run([IMAGE, TEXT])
    for needs in ([TEXT, IMAGE], [IMAGE], [Need("valid"), IMAGE]):
        np.testing.assert_array_equal(run(needs)[0][IMAGE], both[IMAGE])
    noise = both[IMAGE] - 1, both[TEXT] - 2
    assert not np.allclose(*noise)  # two outputs, two keys
    assert not np.allclose(run([IMAGE], key=1)[0][IMAGE], both[IMAGE])


def test_arrays_of_the_batch_are_passed_through():
    valid = Need("valid")
    outputs, _, log = run([valid])
    assert outputs[valid] is BATCH["pairs"]["valid"] and log == []


def test_the_text_mask_is_used_where_the_batch_has_one():
    batch = {"pairs": BATCH["pairs"] | {"text_mask": jnp.ones((4, 3), bool)}}
    assert run([TEXT], batch)[2] == ["masked text"]


def test_other_weights_leave_the_live_variables_alone():
    slow = Need("image_embedding", parameters="momentum")
    momentum = {"params": {"gain": 5.0}, "batch_stats": {"seen": jnp.float32(7)}}
    outputs, changed, log = run([IMAGE, slow], momentum=momentum)
    assert outputs.keys() == {IMAGE, slow} and log == ["image", "image"]
    np.testing.assert_allclose(np.floor(outputs[IMAGE]), 1)
    np.testing.assert_array_equal(outputs[slow], 5)  # without dropout
    assert changed == {"batch_stats": {"seen": 1}}


def test_unknown_output():
    with pytest.raises(ConfigError, match="'image_embeding'.*mean 'image_embedding'"):
        run([Need("image_embeding")])


def test_unknown_stream():
    with pytest.raises(ConfigError, match="unknown stream of the batch 'scenes'"):
        run([Need("image_embedding", stream="scenes")])


JOINT = Need("joint")


def test_outputs_of_outputs_share_what_they_rest_on():
    outputs, _, log = run([JOINT, IMAGE], gain=2.0)
    assert sorted(log) == ["image", "joint", "text"]
    alone, _, _ = run([IMAGE, TEXT], gain=2.0)
    np.testing.assert_allclose(outputs[JOINT], 2 * (alone[IMAGE] + alone[TEXT]))


def test_a_derived_value_stands_before_the_method_of_its_name():
    drawn = []

    def text_embedding(valid, key, unheard_of=3):
        drawn.append(jax.random.uniform(key))
        return jnp.where(valid, 10.0, 20.0) + unheard_of

    derived = {"text_embedding": text_embedding}
    outputs, _, log = run([JOINT, TEXT], derived=derived)
    np.testing.assert_array_equal(outputs[TEXT], [13, 13, 23, 13])
    assert sorted(log) == ["image", "joint"] and len(drawn) == 1
    run([TEXT], derived=derived)
    assert drawn[0] == drawn[1]  # whoever else is computed
    run([TEXT], derived=derived, key=1)
    assert drawn[2] != drawn[0]


def test_derived_values_are_those_of_the_live_parameters_for_all():
    slow = Need("joint", parameters="momentum")
    momentum = {"params": {"gain": 5.0}, "batch_stats": {"seen": jnp.float32(7)}}
    derived = {"text_embedding": lambda image_embedding: 2 * image_embedding}
    outputs, _, log = run([IMAGE, slow], derived=derived, momentum=momentum)
    assert sorted(log) == ["image", "image", "joint"]
    np.testing.assert_allclose(outputs[slow], 5 * (5 + 2 * outputs[IMAGE]))


def test_a_parameter_of_the_model_is_an_output():
    outputs, _, log = run([Need("gain")], gain=4.0)
    assert outputs[Need("gain")] == 4 and log == []


def test_inference_sees_no_dropout_and_changes_nothing():
    log = []
    variables = {"params": {"gain": 3.0}, "batch_stats": {"seen": jnp.float32(7)}}
    found = inference(Fake(log.append), "image_embedding")(
        variables, image=jnp.ones((4, 3))
    )
    np.testing.assert_array_equal(found, 3)


GIVEN = {"": {"gain"}, "pairs": ("image", "text_tokens", "valid")}


def test_what_a_model_lacks_is_found_before_it_runs():
    model = Fake(print)
    check_outputs(model, {}, [JOINT, IMAGE, Need("gain"), Need("valid")], GIVEN)
    with pytest.raises(ConfigError, match="Fake has no output 'joined'.*mean 'joint'"):
        check_outputs(model, {}, [Need("joined")], GIVEN)
    derived = {"text_embedding": lambda masked, hint=None: masked}
    with pytest.raises(ConfigError, match="no output 'masked'.* needs for 'joint'"):
        check_outputs(model, derived, [JOINT], GIVEN)
    check_outputs(model, derived | {"masked": lambda valid: valid}, [JOINT], GIVEN)
    with pytest.raises(ConfigError, match="unknown stream of the run 'questions'"):
        check_outputs(model, {}, [Need("image", stream="questions")], GIVEN)


def test_a_model_may_be_set_to_lack_an_output():
    assert method_of(Fake(print), "joint") is not None
    assert method_of(Headless(print), "joint") is None
    assert "joint" not in known_outputs(Headless(print))
    with pytest.raises(ConfigError, match="a Headless has no output 'joint'"):
        given = {"": {"gain"}, "pairs": set(BATCH["pairs"])}
        check_outputs(Headless(print), {}, [Need("joint")], given)
