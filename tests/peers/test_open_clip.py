"""open_clip itself, in an environment of its own, with our weights."""

import json
import subprocess
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from benchmarks.peers.our_step import make_model
from benchmarks.peers.side import LENGTH, Side, pairs
from benchmarks.step import OPTIMIZER, PEER
from tests.models.comparison import error
from tests.porting.random_models import RESNET, TEXT, VIT, random_model
from tests.porting.tiny_models import assert_same_bits
from vlp_jax import endpoints, proof
from vlp_jax.build import init_function
from vlp_jax.core import trees
from vlp_jax.core.errors import ConfigError
from vlp_jax.porting import open_clip, open_clip_clip
from vlp_jax.porting.theirs import Computed
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
keys = sorted(model.state_dict())
np.savez(results, keys=keys, tokens=found.tokens, **found.outputs)
"""

# A model of its own: FOLDER with a config, where its first weights go. Two steps of
# training move the statistics of its batch normalisations.
INITIALISE = """
import json, sys, types
sys.modules["torchvision._meta_registrations"] = types.ModuleType("empty")
import open_clip, torch
from safetensors.torch import save_file
folder = sys.argv[1]
config = json.load(open(folder + "/open_clip_config.json"))["model_cfg"]
torch.manual_seed(0)
custom = config.pop("custom_text", False)
made = open_clip.CustomTextCLIP if custom else open_clip.CLIP
made = open_clip.CoCa if "multimodal_cfg" in config else made
model = made(**config).train()
if made is open_clip.CoCa:  # it leaves them as they are in memory
    torch.nn.init.normal_(model.text_decoder.text_projection)
for _ in range(2):
    model.encode_image(torch.randn(4, 3, *[config["vision_cfg"]["image_size"]] * 2))
save_file(model.state_dict(), folder + "/open_clip_model.safetensors")
"""


# Prints every config that it comes with.
CONFIGS = """
import json, sys, types
sys.modules["torchvision._meta_registrations"] = types.ModuleType("empty")
import open_clip
found = {name: open_clip.get_model_config(name) for name in open_clip.list_models()}
json.dump(found, open(sys.argv[1], "w"))
"""
# Where one of these is said, or a tower of timm but SigLIP's, it is none of ours.
OTHERS = ("hf_model_name", "no_ln_pre", "ls_init_value", "proj_type")


@pytest.mark.long
def test_the_configs_it_comes_with_are_read(peers, tmp_path):
    run(peers, CONFIGS, tmp_path / "configs.json")
    configs, read = json.loads((tmp_path / "configs.json").read_text()), set()
    for name, config in configs.items():
        (tmp_path / name).mkdir()
        given = {"model_cfg": config, "preprocess_cfg": {}}
        (tmp_path / name / open_clip.CONFIG).write_text(json.dumps(given))
        with pytest.raises(ConfigError) as error:  # no weights there
            open_clip.read(tmp_path / name)
        if "no weights at" in str(error.value):
            read.add(name)
    ours = {
        name
        for name, config in configs.items()
        if not any(other in json.dumps(config) for other in OTHERS)
        and "siglip" in config["vision_cfg"].get("timm_model_name", "siglip")
        # One CoCa, of which there are no weights, shows its decoder the patches.
        and ("multimodal_cfg" in config) <= ("attentional_pool" in config["vision_cfg"])
    }
    assert read == ours and len(ours) > 60


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


RESIDUAL = dict(image=RESNET, image_size=64, project_image=False)
OTHER = dict(activation="gelu", mlp_ratio=2.5, norm_epsilon=1e-3)
TANH = dict(activation="gelu_tanh", heads=4)
# The smallest tower of SigLIP that timm has.
SIGLIP = dict(
    image=dict(
        kind="siglip_vit",
        width=768,
        depth=12,
        heads=12,
        patch_size=16,
        activation="gelu",
        norm_epsilon=1e-6,
    ),
    text=TEXT | dict(kind="siglip_text", causal=False, pool="last", activation="gelu"),
    embedding_size=768,
    image_size=224,
    project_image=False,
    text_projection_bias=True,
    logit_bias_init=-10.0,
)
WIDE = dict(width=16, depth=2, heads=2, activation="gelu")
COCA = dict(
    kind="coca",
    image=VIT | dict(activation="gelu"),
    text=WIDE | dict(kind="coca_text"),
    fusion=WIDE | dict(kind="coca"),
    embedding_size=16,
    queries=6,
    pooler_heads=4,
)
EXPORTED = {
    "siglip": SIGLIP,
    "quick gelu": dict(image=VIT),
    "gelu, other ratios": dict(
        image=VIT | OTHER, text=TEXT | OTHER, canonicalise="clip"
    ),
    "tanh gelu": dict(image=VIT | TANH, text=TEXT | TANH, canonicalise="siglip"),
    "coca": COCA,
    "residual network": RESIDUAL,
    "residual network, gelu, biases": RESIDUAL
    | dict(text=TEXT | OTHER, logit_bias_init=-10.0, text_projection_bias=True),
}


def run(peers, code: str, *arguments) -> None:
    ran = subprocess.run(
        [peers, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]


@pytest.mark.long
@pytest.mark.parametrize("case", EXPORTED)
def test_exports_load_strictly_and_encode_the_same(peers, tmp_path, case):
    """From pictures and strings on: its own preprocessing and tokenizer."""
    model = random_model(**EXPORTED[case])
    folder = endpoints.write(f"open_clip:{tmp_path / 'there'}", model)
    pictures, texts = proof.samples("open_clip")
    arrays = {f"picture_{i}": picture for i, picture in enumerate(pictures)}
    np.savez(tmp_path / "samples.npz", texts=texts, **arrays)
    run(peers, ENCODE, folder, tmp_path / "samples.npz", tmp_path / "results.npz")
    results = np.load(tmp_path / "results.npz")
    with safe_open(folder / "open_clip_model.safetensors", framework="np") as file:
        assert sorted(file.keys()) == results["keys"].tolist()
    outputs = {k: results[k] for k in results.files if k not in ("keys", "tokens")}
    assert ("caption_logits" in outputs) == (case == "coca")
    found = Computed(outputs, results["tokens"])
    proved = proof.compare("open_clip", model, proof.ours(model, "open_clip"), found)
    assert proved.holds, proved.lines()
    read = endpoints.read(f"open_clip:{folder}")
    assert proof.changed_parameters(model, read) == []


@pytest.mark.long
@pytest.mark.parametrize("case", ["quick gelu", "residual network", "siglip", "coca"])
def test_its_own_weights_come_back_to_the_bit(peers, tmp_path, case):
    """But for how many batches were seen, which nothing computes with."""
    model = random_model(**EXPORTED[case])
    theirs = endpoints.write(f"open_clip:{tmp_path / 'theirs'}", model)
    run(peers, INITIALISE, theirs)
    read = endpoints.read(f"open_clip:{theirs}")
    assert proof.changed_parameters(model, read) != []
    again = endpoints.write(f"open_clip:{tmp_path / 'again'}", read)
    one, other = (load_file(x / open_clip.WEIGHTS) for x in (theirs, again))
    assert one.keys() == other.keys()
    counted = {key for key in one if key.endswith("num_batches_tracked")}
    assert bool(counted) == (case == "residual network")
    assert_same_bits(*({k: x[k] for k in x if k not in counted} for x in (other, one)))
    assert {int(one[key]) for key in counted} <= {2}
