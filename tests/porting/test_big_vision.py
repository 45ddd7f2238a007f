"""SigLIP's .npz of big_vision gives the outputs of the model that it describes.

That model is written here with Flax's own parts, which name their parameters as the
file does.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax.traverse_util import flatten_dict

from tests.models.comparison import error
from vlp_jax import endpoints
from vlp_jax.core import trees
from vlp_jax.core.errors import ConfigError
from vlp_jax.data.tokenizers import Tokenizer
from vlp_jax.porting import big_vision

WIDTH, DEPTH, HEADS, SIZE, PATCH, LENGTH = 24, 2, 3, 12, 4, 8


class MlpBlock(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.gelu(nn.Dense(60)(x))  # no multiple of the width
        return nn.Dense(WIDTH)(x)


class Block(nn.Module):
    @nn.compact
    def __call__(self, x):
        y = nn.LayerNorm()(x)
        x = x + nn.MultiHeadDotProductAttention(HEADS)(y, y)
        return x + MlpBlock()(nn.LayerNorm()(x))


class Encoder(nn.Module):
    @nn.compact
    def __call__(self, x):
        for i in range(DEPTH):
            x = Block(name=f"encoderblock_{i}")(x)
        return nn.LayerNorm(name="encoder_norm")(x)


class MAPHead(nn.Module):
    @nn.compact
    def __call__(self, x):
        probe = self.param("probe", nn.initializers.normal(), (1, 1, WIDTH))
        probe = jnp.tile(probe, (len(x), 1, 1))
        x = nn.MultiHeadDotProductAttention(HEADS)(probe, x)
        return (x + MlpBlock()(nn.LayerNorm()(x)))[:, 0]


class Image(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.Conv(WIDTH, (PATCH, PATCH), PATCH, padding="VALID", name="embedding")(x)
        x = x.reshape(len(x), -1, WIDTH)
        x += self.param("pos_embedding", nn.initializers.normal(), (1, *x.shape[1:]))
        return MAPHead()(Encoder(name="Transformer")(x))


class Text(nn.Module):
    vocabulary: int

    @nn.compact
    def __call__(self, tokens):
        x = nn.Embed(self.vocabulary, WIDTH)(tokens)
        x += self.param("pos_embedding", nn.initializers.normal(), (1, *x.shape[1:]))
        return nn.Dense(WIDTH, name="head")(Encoder()(x)[:, -1])


class Siglip(nn.Module):
    vocabulary: int

    @nn.compact
    def __call__(self, images, tokens):
        self.param("t", nn.initializers.constant(1.5), (1,))
        self.param("b", nn.initializers.constant(-2.0), (1,))
        image = Image(name="img")(images)
        text = Text(self.vocabulary, name="txt")(tokens)
        return [x / jnp.linalg.norm(x, axis=-1, keepdims=True) for x in (image, text)]


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """A tokenizer and its folder."""
    folder = tmp_path_factory.mktemp("words")
    tokenizer = Tokenizer.train(["a cat on a mat"], 300, LENGTH)
    tokenizer.save(folder)
    return tokenizer, str(folder)


@pytest.fixture(scope="module")
def file(words, tmp_path_factory):
    """(path of the .npz, the model, its variables)."""
    model = Siglip(words[0].vocab_size)
    images, tokens = np.zeros((1, SIZE, SIZE, 3)), np.zeros((1, LENGTH), int)
    shapes = jax.eval_shape(model.init, jax.random.key(0), images, tokens)
    rng = np.random.default_rng(0)
    params = jax.tree.map(
        lambda x: (0.3 * rng.normal(size=x.shape)).astype(np.float32), shapes
    )
    flat = flatten_dict(params, sep="/")
    path = tmp_path_factory.mktemp("file") / "siglip.npz"
    np.savez(path, **flat, **{"opt/count": np.zeros(3)})
    return path, model, params


def test_embeddings_are_those_of_the_model(file, words):
    path, model, params = file
    found = endpoints.read(f"big_vision:{path}", tokenizer=words[1])
    assert found.config.tokenizer.canonicalise == "siglip"
    rng = np.random.default_rng(1)
    pictures = rng.integers(0, 256, (5, SIZE, SIZE, 3)).astype(np.uint8)
    texts = ["a cat", "A mat!", "a cat on a mat and a cat on a mat", "", "cat"]
    tokens, mask = found.tokenizer(texts)
    expected = jax.jit(model.apply)(params, pictures / 127.5 - 1, tokens)
    ours = jax.jit(found.model().apply)(
        {"params": trees.unflatten(found.parameters)}, pictures, tokens, mask
    )
    for one, other in zip(ours, expected, strict=True):
        assert error(one, np.asarray(other)) <= 1e-5
    assert found.parameters["logit_scale"] == params["params"]["t"][0]
    assert found.parameters["logit_bias"] == params["params"]["b"][0]


def test_its_tokenizer_is_to_be_named(file):
    with pytest.raises(ConfigError, match="comes without a tokenizer; name it"):
        endpoints.read(f"big_vision:{file[0]}")


def test_it_is_not_written(file, words, tmp_path):
    found = endpoints.read(f"big_vision:{file[0]}", tokenizer=words[1])
    with pytest.raises(ConfigError, match="unknown format to write a model in"):
        endpoints.write(f"big_vision:{tmp_path}/new.npz", found)


def test_files_that_are_none(file, tmp_path):
    with pytest.raises(ConfigError, match="no file"):
        big_vision.read(tmp_path / "missing.npz")
    cut = tmp_path / "cut.npz"
    cut.write_bytes(file[0].read_bytes()[:2000])
    with pytest.raises(ConfigError, match="no .npz of arrays, or damaged"):
        big_vision.read(cut)
    np.savez(tmp_path / "other.npz", **{"params/kernel": np.zeros(3)})
    with pytest.raises(ConfigError, match="params/img/embedding/kernel.*SigLIP"):
        big_vision.read(tmp_path / "other.npz")
    np.savez(tmp_path / "pickle.npz", **{"params/x": np.array([{}], object)})
    with pytest.raises(ConfigError, match="no .npz of arrays"):
        big_vision.read(tmp_path / "pickle.npz")


def test_a_key_too_many_or_too_few_is_named(file, tmp_path):
    arrays = dict(np.load(file[0]))
    np.savez(tmp_path / "more.npz", **arrays, **{"params/img/more": np.zeros(3)})
    with pytest.raises(ConfigError, match="unexpected: params/img/more"):
        big_vision.read(tmp_path / "more.npz")
    del arrays["params/txt/head/bias"]
    np.savez(tmp_path / "fewer.npz", **arrays)
    with pytest.raises(ConfigError, match="missing: params/txt/head/bias"):
        big_vision.read(tmp_path / "fewer.npz")
