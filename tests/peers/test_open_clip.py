"""open_clip itself, in an environment of its own, with our weights."""

import subprocess
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors import safe_open

from benchmarks.peers.our_step import make_model
from benchmarks.peers.side import LENGTH, Side, pairs
from benchmarks.step import OPTIMIZER, PEER
from tests.models.comparison import error
from vlp_jax import build, endpoints, portable, proof, recipe
from vlp_jax.build import init_function
from vlp_jax.core import trees
from vlp_jax.data.tokenizers import Tokenizer
from vlp_jax.porting import open_clip_clip
from vlp_jax.porting.theirs import Embeddings
from vlp_jax.porting.weights import to_theirs

ROOT = Path(__file__).parents[2]
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

# Runs in the peers' environment: FOLDER, what the samples are in, where results go.
ENCODE = """
import sys, types
import numpy as np
# Describes operators that another build of torchvision has.
sys.modules["torchvision._meta_registrations"] = types.ModuleType("empty")
import open_clip
from vlp_jax.porting.theirs import run_open_clip
folder, samples, results = sys.argv[1:]
given = np.load(samples)
texts = given["texts"].tolist()
pictures = [given[f"picture_{i}"] for i in range(len(given.files) - 1)]
found = run_open_clip(folder, pictures, texts)
model = open_clip.create_model("local-dir:" + folder)
np.savez(results, keys=sorted(model.state_dict()), **found._asdict())
"""


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


# Changes of the recipe of a tiny model, and canonicalisation of its tokenizer.
EXPORTED = {
    "quick gelu": (dict(), "none"),
    "gelu, other ratios": (
        dict(activation="gelu", mlp_ratio=2.5, norm_epsilon=1e-3),
        "clip",
    ),
    "tanh gelu": (dict(activation="gelu_tanh", heads=4), "siglip"),
}


@pytest.mark.long
@pytest.mark.parametrize("case", EXPORTED)
def test_exports_load_strictly_and_encode_the_same(peers, tmp_path, case):
    """From pictures and strings on: its own preprocessing and tokenizer."""
    changes, canonicalise = EXPORTED[case]
    model = random_model(changes, canonicalise)
    folder = endpoints.write(f"open_clip:{tmp_path / 'there'}", model)
    pictures, texts = proof.samples("open_clip")
    arrays = {f"picture_{i}": picture for i, picture in enumerate(pictures)}
    np.savez(tmp_path / "samples.npz", texts=texts, **arrays)
    arguments = folder, tmp_path / "samples.npz", tmp_path / "results.npz"
    ran = subprocess.run(
        [peers, "-c", ENCODE, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    results = np.load(tmp_path / "results.npz")
    with safe_open(folder / "open_clip_model.safetensors", framework="np") as file:
        assert sorted(file.keys()) == results["keys"].tolist()
    found = Embeddings(results["image"], results["text"], results["tokens"])
    proved = proof.compare("open_clip", model, proof.ours(model, "open_clip"), found)
    assert proved.holds, proved.lines()
    read = endpoints.read(f"open_clip:{folder}")
    assert proof.changed_parameters(model, read) == []


def random_model(changes: dict, canonicalise: str) -> portable.Portable:
    """A CLIP with random weights, large enough to matter."""
    words = Tokenizer.train(proof.CAPTIONS[:3], 280, 16, canonicalise)
    shape = dict(mlp_ratio=4.0, activation="quick_gelu", norm_epsilon=1e-5)
    image = dict(kind="vit", width=24, depth=2, heads=3, patch_size=8, pool="class")
    text = dict(kind="transformer", width=16, depth=2, heads=2, causal=True)
    towers = {
        "image": image | shape | changes,
        "text": text | shape | changes | {"pool": "first_eos"},
    }
    settings = recipe.pretraining()
    for name, tower in towers.items():
        settings.model[name].update(tower)
    settings.model.embedding_size = 12
    settings.preprocessing.image_size = 32
    settings.tokenizer.length = 16
    settings.name = "random"
    config = build.resolved(settings)
    preprocessing = build.make_preprocessing(config)
    init = init_function(build.make_model(config, preprocessing, words), 32, 16)
    shapes = trees.flatten(jax.eval_shape(init, jax.random.key(0))["params"])
    rng = np.random.default_rng(0)
    weights = {
        path: (0.3 * rng.normal(size=x.shape)).astype(np.float32)
        for path, x in shapes.items()
    }
    model = portable.Portable("random", config, words, weights)
    model.check()
    return model
