"""open_clip itself, in an environment of its own, with our weights."""

import subprocess
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.peers.our_step import make_model
from benchmarks.peers.side import LENGTH, Side, pairs
from benchmarks.step import OPTIMIZER, PEER
from tests.models.comparison import error
from vlp_jax.build import init_function
from vlp_jax.core import trees
from vlp_jax.porting import open_clip_clip
from vlp_jax.porting.weights import to_theirs

INSTALL = Path(__file__).with_name("install.sh")
TASK = dict(
    image=dict(width=24, depth=2, heads=3, patch_size=8),
    text=dict(width=16, depth=2, heads=2),
    embedding_size=12,
    image_size=16,
    dtype="float32",
    batch=6,
    steps=1,
    threads=2,
    compiled=False,
    optimizer=OPTIMIZER,
)


@pytest.fixture(scope="module")
def peers():
    """The peers' Python; made here where it is missing."""
    made = subprocess.run(["bash", INSTALL], capture_output=True, text=True)
    assert made.returncode == 0, made.stdout + made.stderr
    return Path(made.stdout.splitlines()[-1]) / "bin" / "python"


@pytest.mark.long
@pytest.mark.parametrize("activation", ["quick_gelu", "gelu"])
def test_embeddings_equal_open_clips(peers, tmp_path, activation):
    task = TASK | {"activation": activation, "folder": str(tmp_path)}
    model, rng = make_model(task), np.random.default_rng(0)
    shapes = jax.eval_shape(init_function(model, 16, LENGTH), jax.random.key(0))
    # Large enough to matter, norms and biases too.
    variables = jax.tree.map(
        lambda x: jnp.asarray(0.3 * rng.normal(size=x.shape), x.dtype), shapes
    )
    params = {k: np.asarray(v) for k, v in trees.flatten(variables["params"]).items()}
    weights = to_theirs(open_clip_clip.rules(task), params)
    np.savez(tmp_path / "weights.npz", **weights)
    images, tokens = pairs(6, 16)
    ours = model.apply(variables, jnp.asarray(images), jnp.asarray(tokens))
    with Side(peers, PEER, task) as side:
        theirs = side.ask("embed")
    assert side.about["parameters"] == sum(x.size for x in params.values())
    for found, name in zip(ours, ("image", "text"), strict=True):
        assert error(found, np.array(theirs[name])) <= 1e-5, name
