"""What does not train stays bit for bit, costs no gradient and has no moments."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vlp_jax.core import trees
from vlp_jax.core.errors import ConfigError
from vlp_jax.models.outputs import compute_outputs
from vlp_jax.models.text import TextTransformer
from vlp_jax.models.vit import ViT
from vlp_jax.models.vlm import TwoTower
from vlp_jax.objectives.contrastive import Contrastive
from vlp_jax.objectives.mixture import Mixture
from vlp_jax.parallel.mesh import MeshSpec
from vlp_jax.parallel.sharding import jit_update, place_batch
from vlp_jax.training.optimizer import adamw
from vlp_jax.training.state import (
    create_sharded,
    items_of,
    make_state,
    state_from,
    variables_of,
)
from vlp_jax.training.step import make_train_step
from vlp_jax.transfer.freezing import check_statistics, trainable

LIT = ("^text", "^logit")
SIZES = dict(width=32, heads=2)


def batch(mesh):
    rng = np.random.default_rng(0)
    tokens = rng.integers(4, 32, (8, 6)).astype(np.int32)
    tokens[:, 5] = 3
    images = rng.integers(0, 256, (8, 16, 16, 3)).astype(np.uint8)
    pairs = {"image": images, "text_tokens": tokens, "valid": np.ones(8, bool)}
    return place_batch({"pairs": pairs}, mesh)


class Training:
    """A small CLIP on one batch; `trainable_patterns` as config.trainable."""

    def __init__(self, trainable_patterns=None, mesh=None, scan=False, ema=None):
        self.mesh = mesh or MeshSpec().make(jax.devices()[:1])
        model = TwoTower(
            ViT(image_size=16, patch_size=4, depth=3, scan=scan, **SIZES),
            TextTransformer(vocab_size=32, length=6, eos_id=3, depth=1, **SIZES),
            embedding_size=16,
            image_mean=(0.5, 0.5, 0.5),
            image_std=(0.3, 0.3, 0.3),
        )
        init = functools.partial(
            model.init,
            images=jnp.zeros((1, 16, 16, 3), jnp.uint8),
            tokens=jnp.zeros((1, 6), jnp.int32),
        )
        self.trains = None
        if trainable_patterns:
            params = jax.eval_shape(init, jax.random.key(0))["params"]
            self.trains = trainable(trainable_patterns, trees.flatten(params))
        mixture = Mixture({"contrastive": Contrastive(self.mesh)}, {"contrastive": 1.0})
        optimizer = adamw(optax.constant_schedule(1e-2), clip_norm=0)
        make = functools.partial(
            make_state,
            init,
            optimizer,
            mixture.initial_state(),
            averages=() if ema is None else ("ema",),
            seed=0,
            trains=self.trains,
        )
        self.first = create_sharded(make, self.mesh)
        step = make_train_step(
            compute_outputs(model),
            mixture,
            optimizer,
            seed=0,
            bounds={"logit_scale": (0.0, 4.6)},
            decays={} if ema is None else {"ema": ema},
        )
        self.step = jit_update(step, self.first)
        self.batch = batch(self.mesh)

    def run(self, steps: int):
        """The state after some steps; `first` is used up."""
        state = self.first
        with jax.set_mesh(self.mesh):
            for _ in range(steps):
                state, metrics = self.step(state, self.batch)
        assert self.step._cache_size() == 1
        return state, metrics

    def flops(self) -> float:
        lowered = self.step.lower(self.first, self.batch)
        return lowered.compile().cost_analysis()["flops"]


def arrays(tree) -> dict[str, np.ndarray]:
    return {path: np.asarray(leaf) for path, leaf in trees.flatten(tree).items()}


def changed(before: dict, after: dict) -> set[str]:
    assert before.keys() == after.keys()
    return {p for p in before if before[p].tobytes() != after[p].tobytes()}


@pytest.mark.parametrize("fsdp", [pytest.param(None, marks=pytest.mark.long), 4])
def test_locked_parameters_stay_bit_for_bit(fsdp):
    mesh = fsdp and MeshSpec(fsdp=fsdp).make()
    training = Training(LIT, mesh, ema=0.9)
    before = arrays(variables_of(training.first)["params"])
    state, _ = training.run(3)
    after = arrays(variables_of(state)["params"])
    moved = {path for path in before if path.startswith(("text", "logit"))}
    # The key's bias cancels in the softmax, and no caption has most of the words.
    assert changed(before, after) == moved and 10 < len(moved) < len(before) - 10
    average = arrays(variables_of(state, "ema")["params"])
    assert changed(before, average) == moved
    assert changed(after, average) == moved


def test_the_optimizer_never_hears_of_locked_parameters():
    full, locked = Training().first, Training(LIT).first
    paths = trees.flatten(locked.opt_state)
    assert len(paths) > 20 and not [path for path in paths if "image" in path]
    moments = 2 * trees.count(locked.params)
    sizes = [leaf.size for leaf in jax.tree.leaves(locked.opt_state) if leaf.ndim]
    assert sum(sizes) == moments - 2 * 1  # those of the scalar logit_scale
    assert trees.count(full.params) == trees.count(variables_of(locked)["params"])
    assert full.frozen == {} and Training(LIT, ema=0.9).first.ema.keys() == {
        "text",
        "text_projection",
        "logit_scale",
    }


@pytest.mark.long
def test_what_trains_trains_as_without_the_lock():
    """After one step: later ones see an image tower that has moved, or has not."""
    full, locked = (Training(patterns).run(1)[0] for patterns in (None, LIT))
    for path, leaf in trees.flatten(locked.params).items():
        expected = trees.flatten(full.params)[path]
        np.testing.assert_allclose(leaf, expected, atol=1e-6, err_msg=path)


@pytest.mark.long
def test_no_gradient_is_computed_for_a_locked_tower():
    """Forward 1, backward 2: a step that skips the backward pass costs a third."""
    full, locked = Training().flops(), Training(LIT).flops()
    assert locked < 0.55 * full
    assert Training(("^image", "^logit")).flops() > 0.8 * full


@pytest.mark.long
def test_a_lock_need_not_be_uniform_over_scanned_layers():
    patterns = ("^text", "^image/encoder/block_[02]/mlp")
    states = []
    for scan in (False, True):
        training = Training(patterns, scan=scan)
        before = arrays(variables_of(training.first)["params"])
        state, _ = training.run(2)
        after = arrays(variables_of(state)["params"])
        moved = {path for path in changed(before, after) if path.startswith("image")}
        expected = {path for path in before if training.trains(path)}
        assert moved == {path for path in expected if path.startswith("image")}
        assert {path.split("/")[2] for path in moved} == {"block_0", "block_2"}
        states.append(after)
    for path, leaf in states[0].items():
        np.testing.assert_allclose(leaf, states[1][path], atol=1e-4, err_msg=path)


@pytest.mark.long
def test_a_bounded_parameter_may_be_locked():
    state, metrics = Training(("^text",)).run(1)
    assert set(state.frozen) == {"image", "image_projection", "logit_scale"}
    assert float(metrics["gradient_norm"]) > 0


def test_a_checkpoint_holds_all_parameters():
    training = Training(LIT, ema=0.9)
    state, items = training.first, items_of(training.first)
    everything = Training(ema=0.9).first
    assert jax.tree.structure(items["model"]) == jax.tree.structure(
        items_of(everything)["model"]
    )
    assert jax.tree.structure(items["ema"]) == jax.tree.structure(everything.params)
    again = state_from(items, training.trains)
    assert jax.tree.structure(again) == jax.tree.structure(state)
    assert not changed(arrays(state), arrays(again))


def test_patterns():
    paths = ["image/kernel", "text/kernel", "logit_scale"]
    trains = trainable(("^text", "scale$"), paths)
    assert [trains(path) for path in paths] == [False, True, True]
    with pytest.raises(ConfigError, match="trainable: '.txt'.*mean 'text'"):
        trainable(("^image", "^txt"), paths)
    with pytest.raises(ConfigError, match="trainable is empty.*leave it out"):
        trainable((), paths)


def test_locked_layers_keep_their_statistics():
    paths = ["image/stem/kernel", "image/stem/norm/scale", "image/head/norm/scale"]
    statistics = ["image/stem/norm/mean", "image/head/norm/mean"]
    check_statistics(lambda path: True, paths, statistics)
    check_statistics(lambda path: "norm" in path, paths, statistics)
    check_statistics(lambda path: False, paths, [])
    with pytest.raises(ConfigError, match="beside image/stem/norm/mean.*frozen_stat"):
        check_statistics(lambda path: "head" in path, paths, statistics)
