"""SimVLM: who sees whom, exactly, and texts that are written step by step."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models.comparison import error
from tests.models.resnet_pair import drawn
from vlp_jax.core import trees
from vlp_jax.core.errors import ConfigError
from vlp_jax.core.types import Need
from vlp_jax.models.captioner import Captioner
from vlp_jax.models.decoder import Gpt2Decoder, PrefixDecoder, prefix_mask
from vlp_jax.models.outputs import compute_outputs, inference
from vlp_jax.models.resnet import ResNet
from vlp_jax.models.simvlm import SimVlm
from vlp_jax.models.vit import PlainViT
from vlp_jax.objectives.prefix_lm import PrefixLM

LENGTH, VOCABULARY, ROWS = 6, 20, 3
WORDS = dict(vocab_size=VOCABULARY, length=LENGTH, width=16, depth=2, heads=2)
IMAGES = {
    "patches": PlainViT(image_size=8, patch_size=4, width=12, depth=0, heads=2),
    "grid": ResNet(depths=(1,), block="basic", stem_width=4),
}
PREFIX = jnp.array([1, 3, 5])


def our_model(image="patches", **settings):
    statistics = (0.5,) * 3
    decoder = PrefixDecoder(**WORDS, **settings)
    return SimVlm(IMAGES[image], decoder, image_mean=statistics, image_std=statistics)


def batch(rows=ROWS):
    rng = np.random.default_rng(0)
    return {
        "image": jnp.asarray(rng.integers(0, 256, (rows, 8, 8, 3)), jnp.uint8),
        "text_tokens": jnp.asarray(rng.integers(0, VOCABULARY, (rows, LENGTH))),
    }


@functools.cache
def some_variables(image="patches"):
    """Random values everywhere; of a residual network its statistics too."""
    init = our_model(image).init
    shapes = dict(jax.eval_shape(init, jax.random.key(0), *batch().values()))
    values = drawn(trees.flatten(trees.union(shapes)))
    return jax.tree.map(jnp.asarray, trees.apart(trees.unflatten(values), shapes))


@pytest.mark.parametrize("length", [1, 2, 5, 8])
def test_a_token_sees_the_prefix_and_what_is_before_it(length):
    """Position i sees j if and only if j < prefix or j <= i, for every prefix."""
    prefixes = np.arange(length + 2)
    mask = np.asarray(prefix_mask(jnp.asarray(prefixes), length))
    assert mask.shape == (length + 2, length, length)
    for prefix in prefixes:
        for i in range(length):
            for j in range(length):
                assert mask[prefix, i, j] == (j < prefix or j <= i)
    np.testing.assert_array_equal(mask[0], mask[min(1, length)])  # itself, always
    assert mask[length].all()  # those of a prefix all see each other
    assert (mask[1:].astype(int) >= mask[:-1]).all()  # a longer one hides nothing


@pytest.fixture(scope="module")
def sensitivities():
    """bool [row, t, s]: whether the scores of t depend on what enters at s.

    By the gradient with respect to the position embeddings, which enter with them.
    """
    model, given = our_model(), batch(1)
    params = some_variables()["params"]
    places = params["decoder"]["position_embedding"]

    @jax.jit
    @functools.partial(jax.vmap, in_axes=(None, 0))
    @functools.partial(jax.jacrev, argnums=0)
    def jacobian(places, prefix):
        decoder = params["decoder"] | {"position_embedding": places}
        variables = {"params": params | {"decoder": decoder}}
        scores = inference(model, "prefix_logits")(
            variables, **given, prefix_length=prefix[None]
        )
        return scores[0]

    found = jacobian(places, PREFIX)
    return np.asarray(jnp.abs(found).max(axis=(2, 4)) > 0)


def test_gradients_of_later_tokens_are_exactly_zero(sensitivities):
    """And those of the prefix and of earlier tokens are not."""
    t, s = np.arange(LENGTH)[:, None], np.arange(LENGTH)
    for found, prefix in zip(sensitivities, PREFIX, strict=True):
        np.testing.assert_array_equal(found, (s < prefix) | (s <= t))


def test_tokens_behind_the_prefix_are_told_from_what_is_before_them():
    """A changed token leaves all earlier scores alone, to the bit."""
    model, given = our_model(), batch()
    run = jax.jit(inference(model, "prefix_logits"))
    before = run(some_variables(), **given, prefix_length=PREFIX)
    tokens = (given["text_tokens"].at[:, 4].add(1)) % VOCABULARY
    after = run(
        some_variables(), **given | {"text_tokens": tokens}, prefix_length=PREFIX
    )
    changed = np.asarray((before != after).any(-1))
    last = [False] * 4 + [True] * 2  # the last prefix holds the token
    np.testing.assert_array_equal(changed, [last, last, [True] * 6])


def test_the_picture_is_seen_by_all_and_sees_no_text_behind_the_prefix():
    model, given = our_model(), batch()
    run = jax.jit(inference(model, "caption_logits"))
    before = run(some_variables(), **given)
    after = run(some_variables(), **given | {"image": 255 - given["image"]})
    assert (before != after).any(-1).all()
    pairs = jax.jit(inference(model, "prefix_logits"))
    same = pairs(some_variables(), **given, prefix_length=jnp.zeros(ROWS, jnp.int32))
    np.testing.assert_allclose(same, before, atol=1e-6)


@pytest.mark.parametrize("settings", [dict(scan=True), dict(remat="full")], ids=str)
def test_scanned_and_rematerialised_it_is_the_same(settings):
    given = batch() | {"prefix_length": PREFIX}
    run = (jax.jit(inference(our_model(**x), "prefix_logits")) for x in ({}, settings))
    expected, found = (f(some_variables(), **given) for f in run)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("image", IMAGES)
@pytest.mark.parametrize("pieces", [(1,) * LENGTH, (2, 4)])
def test_texts_are_written_with_the_scores_of_whole_texts(image, pieces):
    """The picture is read once; then token by token, or several at a time."""
    model, given, variables = our_model(image), batch(), some_variables(image)
    expected = jax.jit(inference(model, "caption_logits"))(variables, **given)
    memory = jax.jit(inference(model, "start"))(variables, image=given["image"])
    assert {len(x) for x in jax.tree.leaves(memory)} == {ROWS}

    @jax.jit
    def step(cache, newest, position):
        run = functools.partial(model.apply, method="next_logits", mutable=["cache"])
        return run({**variables, **cache}, memory, newest, position)

    cache, at = {}, 0
    for size in pieces:
        newest = given["text_tokens"][:, at : at + size]
        logits, cache = step(cache, newest, jnp.int32(at))
        at += size
        assert error(logits, np.asarray(expected[:, at - 1])) <= 1e-5
    shapes = {x.shape[:2] for x in jax.tree.leaves(cache)}
    assert shapes == {(ROWS, LENGTH)}  # rows first, so that beams can be moved


def test_a_step_draws_the_prefixes():
    """Another one in another step, and the loss follows it."""
    objective, model = PrefixLM(), our_model()
    rows = jnp.ones((ROWS, LENGTH), bool)
    pairs = batch() | {"text_mask": rows, "valid": rows[:, 0]}
    compute = compute_outputs(model, objective.derived)

    @jax.jit
    def run(key):
        live = {"live": some_variables()}
        outputs, _ = compute(live, objective.needs, {"pairs": pairs}, key)
        term = objective(outputs, jnp.int32(0), ())
        return outputs[Need("prefix_length")], term.total / term.count

    (one, loss), (other, other_loss) = run(jax.random.key(0)), run(jax.random.key(5))
    assert (one != other).any() and loss != other_loss and np.isfinite(loss)


def test_parts_that_do_not_fit():
    statistics = dict(image_mean=(0.5,) * 3, image_std=(0.5,) * 3)

    def init(model):
        jax.eval_shape(model.init, jax.random.key(0), *batch().values())

    with pytest.raises(ConfigError, match="'prefix' belongs to a model of kind 'simv"):
        init(Captioner(IMAGES["grid"], PrefixDecoder(**WORDS), **statistics))
    with pytest.raises(ConfigError, match="'simvlm', which has no other; set"):
        init(SimVlm(IMAGES["grid"], Gpt2Decoder(**WORDS), **statistics))
