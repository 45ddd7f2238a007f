"""Levers: patches dropped in training, cuDNN's limits, computing in bfloat16."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding

from vlp_jax.core import trees
from vlp_jax.core.errors import ConfigError
from vlp_jax.core.types import Need
from vlp_jax.models.layers import Attention, LayerNorm, check_cudnn, even_attention
from vlp_jax.models.outputs import compute_outputs
from vlp_jax.models.siglip import SiglipText, SiglipViT
from vlp_jax.models.text import TextTransformer
from vlp_jax.models.vit import ViT
from vlp_jax.models.vlm import TwoTower
from vlp_jax.parallel.mesh import MeshSpec
from vlp_jax.parallel.sharding import BATCH

SHAPE = dict(width=16, depth=1, heads=2)
TOWERS = {"vit": ViT, "siglip_vit": SiglipViT}
BOTH = pytest.mark.parametrize("kind", TOWERS)


def tower(kind, **settings):
    return TOWERS[kind](image_size=16, patch_size=4, **SHAPE, **settings)


@functools.cache
def some_params(kind):
    """Random values everywhere, so that positions and class token matter."""
    shapes = jax.eval_shape(tower(kind).init, jax.random.key(0), pictures())
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda x: np.float32(0.5 * rng.normal(size=x.shape)), shapes)


def pictures(rows=8):
    """The same picture in every row."""
    return jnp.tile(
        jax.random.normal(jax.random.key(2), (1, 16, 16, 3)), (rows, 1, 1, 1)
    )


def tokens_kept(kind, model, **rngs):
    """How many tokens go into the trunk."""

    def run(params):
        return model.apply(
            params,
            pictures(),
            rngs=rngs,
            capture_intermediates=lambda module, _: module.name == "encoder",
        )

    _, state = jax.eval_shape(run, some_params(kind))
    return state["intermediates"]["encoder"]["__call__"][0].shape[1]


@BOTH
@pytest.mark.parametrize(
    ("fraction", "kept"), [(0.0, 16), (0.5, 8), (0.74, 4), (1.0, 1)]
)
def test_training_keeps_a_fixed_number_of_patches(kind, fraction, kept):
    model, class_token = tower(kind, patch_dropout=fraction), int(kind == "vit")
    assert tokens_kept(kind, model, dropout=jax.random.key(0)) == kept + class_token
    assert tokens_kept(kind, model) == 16 + class_token  # evaluation


@BOTH
def test_every_picture_loses_other_patches(kind):
    model = tower(kind, patch_dropout=0.5)
    apply = jax.jit(lambda key: model.apply(some_params(kind), pictures(), rngs=key))
    first, again = (apply({"dropout": jax.random.key(0)}) for _ in range(2))
    other = apply({"dropout": jax.random.key(1)})
    np.testing.assert_array_equal(first, again)
    assert len(np.unique(np.asarray(first).round(4), axis=0)) == len(first)
    assert np.abs(first - other).max(axis=1).min() > 1e-3


class Drop(ViT, kw_only=True):
    """Dropping alone."""

    def __call__(self, tokens):
        return self.drop_patches(tokens)


def test_the_kept_patches_are_a_fair_choice():
    """Distinct patches of the own picture, each kept as often as another."""
    drop = Drop(image_size=16, patch_size=4, patch_dropout=0.75, **SHAPE)
    rows = 2000
    given = (100 * jnp.arange(rows)[:, None] + jnp.arange(16))[..., None]
    kept = drop.apply({}, given.astype(float), rngs={"dropout": jax.random.key(0)})
    kept = np.asarray(kept)[..., 0]
    assert kept.shape == (rows, 4)
    assert (kept // 100 == np.arange(rows)[:, None]).all()
    assert all(len(set(row)) == 4 for row in kept)
    counts = np.bincount(kept.astype(int).ravel() % 100, minlength=16)
    expected = rows * 4 / 16
    # 15 degrees of freedom, less the variance taken by drawing without repeats
    assert ((counts - expected) ** 2).sum() / expected < 37.7  # p = 0.001


def test_dropped_patches_get_no_gradient():
    model, kind = tower("siglip_vit", patch_dropout=0.5), "siglip_vit"

    def loss(images):
        key = {"dropout": jax.random.key(0)}
        return (model.apply(some_params(kind), images, rngs=key) ** 2).sum()

    gradient = np.asarray(jax.jit(jax.grad(loss))(pictures()))
    patches = gradient.reshape(8, 4, 4, 4, 4, 3).transpose(0, 1, 3, 2, 4, 5)
    touched = (patches != 0).any(axis=(3, 4, 5)).reshape(8, 16)
    np.testing.assert_array_equal(touched.sum(axis=1), 8)


def test_dropping_needs_no_communication_and_is_the_same_on_eight_devices():
    drop = Drop(image_size=16, patch_size=4, patch_dropout=0.5, **SHAPE)
    tokens = jax.random.normal(jax.random.key(0), (16, 16, 16))
    key = jax.random.key(3)

    @jax.jit
    def run(tokens):
        return drop.apply({}, tokens, rngs={"dropout": key})

    expected = run(tokens)
    split = jax.device_put(tokens, NamedSharding(MeshSpec().make(), BATCH))
    compiled = run.lower(split).compile()
    assert "all-" not in compiled.as_text() and "permute" not in compiled.as_text()
    np.testing.assert_array_equal(compiled(split), expected)


def two_tower(**settings):
    image = ViT(image_size=16, patch_size=4, **SHAPE, **settings)
    settings.pop("patch_dropout", None)
    text = TextTransformer(vocab_size=20, length=8, eos_id=2, **SHAPE, **settings)
    half = (0.5,) * 3
    return TwoTower(image, text, embedding_size=8, image_mean=half, image_std=half)


def batch():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4, 16, 16, 3)).astype(np.uint8)
    tokens = rng.integers(3, 20, (4, 8)).astype(np.int32)
    return images, tokens


def test_a_train_step_drops_patches_and_the_step_decides_which():
    """compute_outputs gives the key; without it, as in a predictor, nothing drops."""
    model, (images, tokens) = two_tower(patch_dropout=0.5), batch()
    params = jax.jit(model.init)(jax.random.key(0), images, tokens)
    need = Need("image_embedding")
    compute = jax.jit(
        lambda key: compute_outputs(model)(
            {"live": params}, [need], {"pairs": {"image": jnp.asarray(images)}}, key
        )[0][need]
    )
    first, second = compute(jax.random.key(0)), compute(jax.random.key(1))
    encode = jax.jit(functools.partial(model.apply, method="encode_image"))
    whole = encode(params, images)
    for pair in ((first, second), (first, whole)):
        assert np.abs(pair[0] - pair[1]).max() > 1e-3
    np.testing.assert_array_equal(first, compute(jax.random.key(0)))


# ---- bfloat16


def test_bfloat16_computes_in_bfloat16_between_float32_ends():
    model, arrays = two_tower(dtype="bfloat16"), batch()
    params = jax.jit(model.init)(jax.random.key(0), *arrays)

    def run(params):
        return model.apply(
            params, *map(jnp.asarray, arrays), capture_intermediates=True
        )

    outputs, state = jax.eval_shape(run, params)
    between = {
        path: leaf.dtype
        for path, leaf in trees.flatten(state["intermediates"]).items()
        if path.startswith(("image", "text"))
    }
    assert len(between) > 30 and set(between.values()) == {jnp.dtype("bfloat16")}
    assert {x.dtype for x in outputs} == {jnp.dtype("float32")}
    gradients = jax.eval_shape(jax.grad(lambda p: run(p)[0][0].sum()), params)
    leaves = jax.tree.leaves((params, gradients))
    assert {x.dtype for x in leaves} == {jnp.dtype("float32")}


def test_bfloat16_is_near_float32():
    arrays = [jnp.asarray(x) for x in batch()]
    model = two_tower()
    params = jax.jit(model.init)(jax.random.key(0), *arrays)
    expected = jax.jit(model.apply)(params, *arrays)
    found = jax.jit(two_tower(dtype="bfloat16").apply)(params, *arrays)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=0.02)
        norms = np.linalg.norm(ours, axis=1)  # normalised in float32
        np.testing.assert_allclose(norms, 1, atol=1e-6)
        assert np.abs(ours - theirs).max() > 1e-6  # it did compute otherwise


def test_layer_norm_keeps_its_statistics_in_float32():
    """A large mean: statistics in bfloat16 would lose the deviations from it."""
    x = 256 + 2 * jax.random.normal(jax.random.key(0), (4, 64))
    x = x.astype(jnp.bfloat16)
    norm = LayerNorm(dtype="bfloat16")
    found = norm.apply(norm.init(jax.random.key(0), x), x)
    exact = np.asarray(x, np.float64)
    exact = (exact - exact.mean(1, keepdims=True)) / exact.std(1, keepdims=True)
    assert found.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.asarray(found, np.float64), exact, atol=0.02)


# ---- cuDNN


@pytest.mark.parametrize(
    ("width", "dtype", "said"),
    [
        (64, "float32", "'bfloat16', and dtype is 'float32'"),
        (12, "bfloat16", "8 divides.* theirs is 12"),
        (512, "bfloat16", "at most 256, and theirs is 512"),
        (72, "bfloat16", None),
    ],
)
def test_what_cudnn_cannot_do(monkeypatch, width, dtype, said):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    query = jnp.zeros((2, 8, 4, width), dtype)
    if said is None:
        check_cudnn(query)
    else:
        with pytest.raises(ConfigError, match=f"{said}.*; set attention='xla'"):
            check_cudnn(query)


@pytest.mark.parametrize("length", [6, 7])
@pytest.mark.parametrize(("masked", "causal"), [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_even_lengths_change_nothing(length, masked, causal):
    """By XLA, which takes any length: values and gradients with and without padding."""
    arrays = jax.random.normal(jax.random.key(0), (3, 2, length, 2, 4))
    mask = jnp.arange(length) < jnp.array([length, 3])[:, None] if masked else None

    def plain(query, key, value):
        rows = mask if mask is None else mask[:, None, None]
        return jax.nn.dot_product_attention(
            query, key, value, mask=rows, is_causal=bool(causal)
        )

    def even(query, key, value):
        return even_attention(query, key, value, mask, bool(causal), "xla")

    def both(function):
        def loss(arrays):
            out = function(*arrays)
            return (out * jnp.arange(out.size).reshape(out.shape)).sum(), out

        return jax.jit(jax.value_and_grad(loss, has_aux=True))(arrays)

    for found, expected in zip(
        jax.tree.leaves(both(even)), jax.tree.leaves(both(plain)), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    "model",
    [
        two_tower(attention="cudnn", dtype="bfloat16").image,
        two_tower(attention="cudnn", dtype="bfloat16").text,
        SiglipText(vocab_size=20, length=8, eos_id=1, **SHAPE, attention="cudnn"),
    ],
    ids=lambda model: type(model).__name__,
)
def test_cudnn_away_from_a_gpu(model):
    given = (
        jnp.zeros((1, 16, 16, 3)) if isinstance(model, ViT) else jnp.zeros((1, 8), int)
    )
    with pytest.raises(ConfigError, match="needs a GPU, and this runs on cpu; set"):
        jax.eval_shape(model.init, jax.random.key(0), given)


def test_attention_over_a_context():
    """One query over other tokens equals softmax(q k / sqrt(d)) v by hand."""
    x, context = (
        jax.random.normal(jax.random.key(n), (2, length, 8))
        for n, length in ((0, 1), (1, 5))
    )
    attention = Attention(heads=1, init_std=0.5, out_std=0.5)
    params = attention.init(jax.random.key(2), x, context=context)
    found = jax.jit(attention.apply)(params, x, context=context)
    weights = {k: v["kernel"] for k, v in params["params"].items()}
    scores = (x @ weights["query"]) @ (context @ weights["key"]).swapaxes(1, 2)
    mixed = jax.nn.softmax(scores / 8**0.5) @ (context @ weights["value"])
    np.testing.assert_allclose(found, mixed @ weights["out"], atol=1e-5)
