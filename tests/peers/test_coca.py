"""open_clip's own CoCa, in its environment, with our weights."""

import json
import subprocess
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models import coca_pair
from tests.models.comparison import check_gradients, error
from vlp_jax.core import trees
from vlp_jax.models.outputs import inference
from vlp_jax.models.towers import normalised
from vlp_jax.porting import open_clip_coca
from vlp_jax.porting.weights import to_ours, to_theirs

START = 2
ROOT = Path(__file__).parents[2]


def task(image, activation):
    """Its settings."""
    size = dict(coca_pair.TEXT)
    text = dict(width=size["width"], layers=size["depth"], heads=size["heads"])
    text |= dict(context_length=coca_pair.LENGTH, vocab_size=coca_pair.VOCABULARY)
    vision = coca_pair.IMAGES[image]
    return {
        "embed_dim": coca_pair.MODEL["embedding_size"],
        "vision_cfg": {
            "image_size": coca_pair.SIZE,
            "patch_size": coca_pair.PATCH,
            "width": vision["width"],
            "layers": vision["depth"],
            "head_width": vision["width"] // vision["heads"],
            "attentional_pool": True,
            "attn_pooler_queries": coca_pair.MODEL["queries"],
            "attn_pooler_heads": coca_pair.MODEL["pooler_heads"],
            "output_tokens": True,
        },
        "text_cfg": text | {"embed_cls": True, "output_tokens": True},
        "multimodal_cfg": text,
        "quick_gelu": activation == "quick_gelu",
    }


def run(peers, folder, image, activation):
    """(our parameters, what open_clip finds with them)."""
    model = coca_pair.our_model(image, activation)
    ours = coca_pair.weights(model)
    rules = open_clip_coca.rules(coca_pair.settings(image))
    np.savez(folder / "weights.npz", **to_theirs(rules, ours))
    mean_std = model.image_mean, model.image_std
    np.savez(
        folder / "given.npz",
        pixels=normalised(jnp.asarray(coca_pair.pictures()), *mean_std),
        tokens=coca_pair.captions()[0],
        start=START,
        **{f"direction_{name}": x for name, x in coca_pair.DIRECTIONS.items()},
    )
    (folder / "task.json").write_text(json.dumps(task(image, activation)))
    side = [peers, "-m", "tests.peers.open_clip_coca", folder]
    ran = subprocess.run(side, capture_output=True, text=True, cwd=ROOT)
    assert ran.returncode == 0, ran.stderr[-2000:]
    return model, ours, dict(np.load(folder / "found.npz"))


def written(model, params):
    """The likeliest text of each picture, token by token."""
    pictures = jnp.asarray(coca_pair.pictures())
    memory = inference(model, "start")({"params": params}, image=pictures)
    tokens, cache = np.full((len(memory), 1), START), {}

    @jax.jit
    def step(cache, newest, position):
        variables = {"params": params, **cache}
        given = memory, newest, position
        return model.apply(variables, *given, method="next_logits", mutable=["cache"])

    for position in range(coca_pair.LENGTH - 1):
        logits, cache = step(cache, tokens[:, -1:], position)
        newest = logits.at[:, coca_pair.PADDING].set(-jnp.inf).argmax(-1)
        tokens = np.concatenate([tokens, newest[:, None]], axis=1)
    return tokens


@pytest.mark.long
@pytest.mark.parametrize(
    ("image", "activation"), [("wide", "gelu"), ("narrow", "quick_gelu")]
)
def test_it_computes_what_open_clip_computes(peers, tmp_path, image, activation):
    """Outputs, the gradient of every parameter, and texts that are written."""
    model, ours, found = run(peers, tmp_path, image, activation)

    def loss(params):
        given = map(jnp.asarray, (coca_pair.pictures(), *coca_pair.captions()))
        out = model.apply({"params": params}, *given)
        out["caption_logits"] = out["caption_logits"][:, :-1]
        total = sum((out[k] * x).sum() for k, x in coca_pair.DIRECTIONS.items())
        return total, out

    params = jax.tree.map(jnp.asarray, trees.unflatten(ours))
    (_, out), gradients = jax.jit(jax.value_and_grad(loss, has_aux=True))(params)
    for name, value in out.items():
        assert error(value, found[name]) <= 1e-5, name
    theirs = {
        key.removeprefix("gradient/"): x
        for key, x in found.items()
        if key.startswith("gradient/")
    }
    rules = open_clip_coca.rules(coca_pair.settings(image))
    scale = gradients.pop("logit_scale")
    assert scale == 0  # only the loss that they are trained with depends on it
    theirs = to_ours([rule for rule in rules if rule.theirs != "logit_scale"], theirs)
    check_gradients(gradients, theirs)
    np.testing.assert_array_equal(written(model, params), found["written"])
    if image == "wide":  # the literal numbers of tests/models/test_coca.py
        for name, value in coca_pair.literal(found).items():
            expected = coca_pair.OPEN_CLIP[name]
            np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6)
