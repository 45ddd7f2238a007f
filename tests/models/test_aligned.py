"""Each side by itself: normalised pixels, all tokens, embeddings of the first."""

import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from vlp_jax.models.aligned import Aligned


class Tokens(nn.Module):
    """Gives what it is given, three times over; pooled it would be something else."""

    def __call__(self, x, mask=None, pooled=True):
        assert not pooled
        x = x.reshape(len(x), 1, -1).astype(jnp.float32)
        return jnp.concatenate([x, 5 * x, 7 * x], axis=1)


class Model(Aligned):
    image: nn.Module
    text: nn.Module
    image_mean: tuple = (0.5, 0.5, 0.0)
    image_std: tuple = (0.5, 0.25, 1.0)

    def image_projection(self, x):
        return x[:, :2]

    def text_projection(self, x):
        return x[:, ::-1]


def test_tokens_and_embeddings():
    model = Model(Tokens(), Tokens())
    image = jnp.full((2, 1, 1, 3), 255, jnp.uint8)
    tokens = model.apply({}, image, method="image_tokens")
    np.testing.assert_allclose(tokens[:, 1], [[5, 10, 5]] * 2)
    found = model.apply({}, tokens, method="image_embedding")
    np.testing.assert_allclose(found, [[1 / 5**0.5, 2 / 5**0.5]] * 2, rtol=1e-6)
    words = jnp.array([[3, 4, 0], [0, 2, 0]], jnp.int32)
    states = model.apply({}, words, method="text_states")
    np.testing.assert_allclose(states[:, 2], 7 * words)
    found = model.apply({}, states, method="text_embedding")
    np.testing.assert_allclose(found, [[0, 0.8, 0.6], [0, 1, 0]], rtol=1e-6)
