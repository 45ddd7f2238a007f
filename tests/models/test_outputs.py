"""Named outputs: each computed once, with a key of its own, under the right weights."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from vlp_jax.core.errors import ConfigError
from vlp_jax.core.types import Need
from vlp_jax.models.outputs import compute_outputs

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

    def encode_image(self, image):
        self.log("image")
        self.seen.value += 1
        noise = jax.random.uniform(self.make_rng("dropout"), (len(image),))
        return self.gain * image[:, 0] + noise

    def encode_text(self, tokens, mask=None):
        self.log("text" if mask is None else "masked text")
        noise = jax.random.uniform(self.make_rng("dropout"), (len(tokens),))
        return self.gain * tokens[:, 0] + noise


def run(needs, batch=BATCH, key=0, gain=1.0, **others):
    log = []
    model = Fake(log.append)
    live = {
        "params": {"gain": jnp.float32(gain)},
        "batch_stats": {"seen": jnp.zeros(())},
    }
    outputs, changed = compute_outputs(model)(
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
    np.testing.assert_allclose(np.floor(outputs[slow]), 5)
    assert changed == {"batch_stats": {"seen": 1}}


def test_unknown_output():
    with pytest.raises(ConfigError, match="'image_embeding'.*mean 'image_embedding'"):
        run([Need("image_embeding")])


def test_unknown_stream():
    with pytest.raises(ConfigError, match="unknown stream of the batch 'scenes'"):
        run([Need("image_embedding", stream="scenes")])
