"""open_clip's own ModifiedResNet, in its environment, with our weights."""

import functools
import subprocess
from pathlib import Path

import jax
import numpy as np
import pytest

from benchmarks.peers.side import Side
from tests.models import resnet_pair
from tests.models.builders import shapes
from tests.models.comparison import check_gradients, error
from vlp_jax.core import trees
from vlp_jax.models import sizes
from vlp_jax.models.convolution import STATISTICS
from vlp_jax.models.modified_resnet import ModifiedResNet

INSTALL = Path(__file__).with_name("install.sh")
RATE, MODULE = 1e-3, "tests.peers.open_clip_resnet"
TABLE = resnet_pair.open_clip_table(resnet_pair.CLIP["depths"])


@pytest.fixture(scope="module")
def peers():
    """The peers' Python; made here where it is missing."""
    made = subprocess.run(["bash", INSTALL], capture_output=True, text=True)
    assert made.returncode == 0, made.stdout + made.stderr
    return Path(made.stdout.splitlines()[-1]) / "bin" / "python"


@pytest.fixture(scope="module")
def theirs(peers, tmp_path_factory):
    """What open_clip computes, and how many parameters its models have."""
    folder = tmp_path_factory.mktemp("peer")
    tower = ModifiedResNet(**resnet_pair.CLIP)
    tree = resnet_pair.variables(tower, resnet_pair.CLIP["image_size"])
    ours = trees.flatten(trees.union(tree))
    assert ours.keys() == TABLE.keys()
    # Every tensor change undoes itself, or is a permutation that this undoes.
    weights = {
        key: ours[path].transpose(3, 2, 0, 1)
        if change is resnet_pair.convolution
        else change(ours[path])
        for path, (key, change) in TABLE.items()
    }
    np.savez(folder / "weights.npz", **weights)
    given = dict(zip("01", resnet_pair.CLIP_PICTURES, strict=True))
    np.savez(folder / "pictures.npz", **given, direction=resnet_pair.CLIP_DIRECTION)
    task = {**resnet_pair.CLIP, "rate": RATE, "folder": str(folder)}
    with Side(peers, MODULE, task) as side:
        side.ask("run")
        parameters = side.ask("parameters")
    return dict(np.load(folder / "found.npz")), parameters


def translate(found, start):
    """What was found below `start`, by our paths."""
    return {
        path: change(found[start + key])
        for path, (key, change) in TABLE.items()
        if start + key in found
    }


@functools.partial(jax.jit, static_argnums=0)
def our_step(model, variables, images):
    def loss(params):
        given = {**variables, "params": params}
        out, changed = model.apply(given, images, mutable=[STATISTICS])
        return (out * resnet_pair.CLIP_DIRECTION).sum(), (out, changed)

    gradients, (out, changed) = jax.grad(loss, has_aux=True)(variables["params"])
    params = jax.tree.map(lambda p, g: p - RATE * g, variables["params"], gradients)
    return {"params": params, **changed}, out, gradients


@pytest.mark.long
def test_two_steps_equal_open_clip(theirs):
    found, _ = theirs
    model = ModifiedResNet(**resnet_pair.CLIP)
    variables = resnet_pair.variables(model, model.image_size)
    evaluated = jax.jit(model.apply)(variables, resnet_pair.CLIP_PICTURES[0])
    assert error(evaluated, found["evaluation"]) <= 1e-5
    for step, images in enumerate(resnet_pair.CLIP_PICTURES):
        variables, out, gradients = our_step(model, variables, images)
        assert error(out, found[f"{step}/embedding"]) <= 1e-5
        check_gradients(gradients, translate(found, f"{step}/gradient/"))
        statistics = translate(found, f"{step}/buffer/")
        moved = trees.flatten(variables[STATISTICS])
        assert moved.keys() == statistics.keys()
        for path, value in statistics.items():
            assert error(moved[path], value) <= 1e-5, path
    # The literal numbers of tests/models/test_modified_resnet.py.
    for name, values in resnet_pair.OPEN_CLIP.items():
        np.testing.assert_allclose(found[name][0], values, rtol=1e-5, atol=1e-6)


@pytest.mark.long
@pytest.mark.parametrize("size", sizes.MODIFIED_RESNET)
def test_published_sizes(theirs, size):
    model = resnet_pair.published(size)
    assert trees.count(shapes(model)[0]) == theirs[1][size]
