"""Where ALBEF looks, against differences of its logits, word by word."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models import tiny_writer, vilt_pair
from tests.parallel.tiny_clip import tiny_init, tiny_model
from vlp_jax.core import trees
from vlp_jax.core.errors import ConfigError
from vlp_jax.models.albef import Albef
from vlp_jax.models.attention_map import (
    as_grid,
    cross_attentions,
    layer_at,
    places,
    relevance,
)
from vlp_jax.models.bert import Bert
from vlp_jax.models.fusion import BertFusion
from vlp_jax.models.layers import SHOWN
from vlp_jax.models.predictor import ModelPredictor
from vlp_jax.models.vit import ViT
from vlp_jax.parallel.mesh import MeshSpec

TOKENIZER = tiny_writer.tokenizer()
TEXT = "two red dogs"
PICTURE = tiny_writer.PICTURES[0]
PATH = "fusion/encoder/block_1/cross_attention"


def albef(**settings):
    shape = dict(width=16, depth=1, heads=2)
    text = dict(vocab_size=TOKENIZER.vocab_size, length=tiny_writer.LENGTH)
    return Albef(
        ViT(image_size=8, patch_size=2, **shape),
        Bert(**text, **shape),
        BertFusion(**shape | dict(depth=3), **settings),
        embedding_size=8,
        image_mean=(0.5, 0.5, 0.5),
        image_std=(0.3, 0.3, 0.3),
    )


@functools.cache
def variables():
    """Far from the first ones, under which attention is nearly even."""
    tokens = jnp.zeros((1, tiny_writer.LENGTH), jnp.int32)
    init = jax.jit(lambda key: albef().init(key, jnp.asarray(PICTURE[None]), tokens))
    return jax.tree.map(lambda x: 2 * x if x.ndim == 2 else x, init(jax.random.key(0)))


@pytest.fixture(scope="module")
def predictor():
    mesh = MeshSpec().make()  # eight devices, and one picture
    return ModelPredictor(albef(), variables(), np.asarray, TOKENIZER, mesh, 8)


def found(model):
    run = jax.jit(functools.partial(relevance, model), static_argnums=1)
    return np.asarray(run(variables(), PATH, PICTURE[None], *TOKENIZER([TEXT])))


@pytest.fixture(scope="module")
def of_albef():
    return found(albef())


def test_weights_times_what_a_match_gains_by_them(of_albef):
    """By differences of the logit, as some weights are changed one by one."""
    model, tokens = albef(), tuple(map(jnp.asarray, TOKENIZER([TEXT])))
    image = jnp.asarray(PICTURE[None])
    image_tokens = jax.jit(
        lambda variables: model.apply(variables, image, method="image_tokens")
    )(variables())

    @jax.jit
    def logit(change):
        given = {**variables(), SHOWN: trees.unflatten({f"{PATH}/weights": change})}
        logits, seen = model.apply(
            given, image_tokens, *tokens, method="match", mutable=[SHOWN]
        )
        return logits[0, 1], jax.tree.leaves(seen)[0]

    none = jnp.zeros((1, 2, tiny_writer.LENGTH, 17))
    weights = logit(none)[1][0]
    checked = []
    for token in range(4):
        for patch in range(0, 17, 3):
            gains = []
            for head in range(2):
                change = none.at[0, head, token, patch].set(0.03)
                gains.append(float(logit(change)[0] - logit(-change)[0]) / 0.06)
            share = weights[:, token, patch] * np.maximum(gains, 0)
            checked.append((share.mean(), of_albef[0, token, patch]))
    expected, given = np.array(checked).T
    np.testing.assert_allclose(given, expected, atol=0.02 * expected.max())
    assert 3 < (expected > 0).sum() < len(expected)


def test_scanned_layers_can_be_looked_into(of_albef):
    np.testing.assert_allclose(found(albef(scan=True)), of_albef, atol=1e-6)


def test_the_map_of_a_word_is_that_of_its_tokens(predictor, of_albef):
    words = [predictor.attention_map(PICTURE, TEXT, word) for word in TEXT.split()]
    for word, expected in zip(words, of_albef[0, 1:4], strict=True):
        assert word.shape == (4, 4) and word.min() >= 0
        np.testing.assert_allclose(word.ravel(), expected[1:], atol=1e-6)
    whole = predictor.attention_map(PICTURE, TEXT)
    np.testing.assert_allclose(whole, np.mean(words, axis=0), atol=1e-6)
    other = predictor.attention_map(PICTURE, TEXT, layer=2)
    assert np.abs(other - whole).max() > 1e-3 * whole.max()


def test_who_has_a_map(predictor):
    assert predictor.can("match") and predictor.can("attend")
    kind, mesh = "ViltForImageAndTextRetrieval", MeshSpec().make()
    model, params = vilt_pair.our_model(kind), vilt_pair.params(kind)
    one_stream = ModelPredictor(
        model, {"params": params}, np.asarray, TOKENIZER, mesh, 8
    )
    assert one_stream.can("match") and not one_stream.can("attend")


def test_what_has_no_map(predictor):
    with pytest.raises(ConfigError, match="word 'cat' is not in the text .*two red"):
        predictor.attention_map(PICTURE, TEXT, "cat")
    with pytest.raises(ConfigError, match="layer is 3; expected 0 to 2"):
        predictor.attention_map(PICTURE, TEXT, layer=3)
    clip = jax.eval_shape(tiny_init(), jax.random.key(0))
    with pytest.raises(ConfigError, match="a TwoTower has no layers .* albef and blip"):
        layer_at(clip, None, type(tiny_model()).__name__)


def test_layers_in_their_order():
    blocks = {
        f"block_{n}": {"cross_attention": {"query": {"kernel": 0}}} for n in range(12)
    }
    params = {"decoder": {"encoder": blocks}, "text": {"encoder": blocks}}
    paths = cross_attentions({"params": params})
    assert paths == [f"text/encoder/block_{n}/cross_attention" for n in range(12)]
    assert layer_at({"params": params}, None, "") == paths[5]
    six = {"fusion": {"encoder": dict(list(blocks.items())[:6])}}
    assert layer_at({"params": six}, None, "").endswith("block_2/cross_attention")


def test_places_of_a_word():
    assert places(TOKENIZER, TEXT, "two") == [1]
    assert places(TOKENIZER, TEXT, "dogs") == [3]
    assert places(TOKENIZER, TEXT, "red dogs") == [2, 3]
    assert places(TOKENIZER, TEXT, None) == [1, 2, 3]
    several = places(TOKENIZER, "a zebra sees it", "zebra")
    assert len(several) > 1 and several[0] == 2
    with pytest.raises(ConfigError, match="word '' is not in"):
        places(TOKENIZER, TEXT, "")


@pytest.mark.parametrize("tokens", [9, 10])
def test_a_class_token_is_no_patch(tokens):
    grid = as_grid(np.arange(tokens, dtype=np.float32))
    np.testing.assert_array_equal(grid[0], np.arange(3) + tokens - 9)
    assert grid.shape == (3, 3)
