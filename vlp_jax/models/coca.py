"""CoCa: a picture and a text are contrasted, and the text is told from the picture.

Yu et al. 2022 (arXiv:2205.01917), as open_clip computes it.
"""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int, UInt8

from vlp_jax.core.errors import ConfigError, check_range
from vlp_jax.models.coca_layers import CocaFusion, CocaText, QueryPool
from vlp_jax.models.layers import Dense
from vlp_jax.models.towers import normalised
from vlp_jax.models.vlm import l2_normalise


class Coca(nn.Module):
    """An image tower, a causal text tower, and layers in which texts see the picture.

    A picture is `queries` learned queries to its tokens: the first is its embedding,
    the others are what the text looks at. A text is its class token; its other tokens
    go on, and tell the next one each.
    """

    image: nn.Module
    text: nn.Module
    fusion: nn.Module
    vocab_size: int
    embedding_size: int
    image_mean: tuple[float, float, float]  # of pixels in 0..1
    image_std: tuple[float, float, float]
    queries: int = 256
    pooler_heads: int = 8
    logit_scale_init: float = 2.6592600  # ln(1 / 0.07)

    def setup(self):
        check_range("model.embedding_size", self.embedding_size, 1)
        check_range("model.queries", self.queries, 2)
        self._check_parts()
        image, text, size = self.image, self.text, self.embedding_size

        def linear(features, width, dtype):
            std = width**-0.5
            return Dense(features, use_bias=False, init_std=std, dtype=dtype)

        self.image_pool = QueryPool(
            self.queries,
            size,
            self.pooler_heads,
            image.norm_epsilon,
            image.attention,
            image.dtype,
        )
        self.image_projection = linear(size, size, image.dtype)
        self.text_projection = linear(size, text.width, text.dtype)
        self.token_projection = linear(
            self.vocab_size, self.fusion.width, self.fusion.dtype
        )
        constant = nn.initializers.constant(self.logit_scale_init)
        self.logit_scale = self.param("logit_scale", constant, ())

    def _check_parts(self) -> None:
        """ConfigError for parts that do not fit together."""
        if not isinstance(self.text, CocaText) or not isinstance(
            self.fusion, CocaFusion
        ):
            raise ConfigError(
                "CoCa reads texts with towers of its own; set "
                "model.text.kind='coca_text' and model.fusion.kind='coca'"
            )
        if self.fusion.width != self.text.width:
            raise ConfigError(
                f"model.fusion.width is {self.fusion.width}, and the text it goes on "
                f"from has {self.text.width}; set both alike"
            )

    # ---- each side by itself

    def image_tokens(
        self, image: UInt8[Array, "batch height column 3"]
    ) -> Float[Array, "batch patch depth"]:
        """The tokens of pictures, the class token first."""
        pixels = normalised(image, self.image_mean, self.image_std)
        return self.image(pixels, pooled=False)

    def image_queries(
        self, image_tokens: Float[Array, "batch patch depth"]
    ) -> Float[Array, "batch query embedding"]:
        """What the queries find: first for the embedding, then for the text."""
        return self.image_pool(image_tokens)

    def image_embedding(
        self, image_queries: Float[Array, "batch query embedding"]
    ) -> Float[Array, "batch embedding"]:
        """L2-normalised float32 embeddings of pictures."""
        return l2_normalise(self.image_projection(image_queries[:, 0]))

    def all_text_states(
        self,
        text_tokens: Int[Array, "batch token"],
        text_mask: Bool[Array, "batch token"] | None = None,
    ) -> Float[Array, "batch all width"]:
        """The tokens of texts that have not seen a picture, and the class token."""
        return self.text(text_tokens, text_mask, pooled=False)

    def text_states(
        self, all_text_states: Float[Array, "batch all width"]
    ) -> Float[Array, "batch token width"]:
        """Without the class token."""
        return all_text_states[:, :-1]

    def text_embedding(
        self, all_text_states: Float[Array, "batch all width"]
    ) -> Float[Array, "batch embedding"]:
        """L2-normalised float32 embeddings of texts."""
        return l2_normalise(self.text_projection(all_text_states[:, -1]))

    # ---- both together

    def fused_states(
        self,
        text_states: Float[Array, "batch token width"],
        image_queries: Float[Array, "batch query embedding"],
    ) -> Float[Array, "batch token width"]:
        """The tokens of texts that have seen a picture."""
        return self.fusion(text_states, None, image_queries[:, 1:])

    def caption_logits(
        self, fused_states: Float[Array, "batch token width"]
    ) -> Float[Array, "batch token vocabulary"]:
        """Scores of the token that follows each one."""
        return self.token_projection(fused_states).astype(jnp.float32)

    def start(
        self, image_queries: Float[Array, "batch query embedding"]
    ) -> Float[Array, "batch query embedding"]:
        """What is looked at while a text is written."""
        return image_queries

    def next_logits(
        self,
        memory: Float[Array, "batch query embedding"],
        tokens: Int[Array, "batch token"],
        position: Int[Array, ""],
    ) -> Float[Array, "batch vocabulary"]:
        """Scores of the token after these, the first of which is at `position`."""
        states = self.text(tokens, None, position)
        states = self.fusion(states, None, memory[:, 1:], None, position)
        return self.caption_logits(states)[:, -1]

    def __call__(self, images, tokens, mask=None):
        """Runs everything once; this is what initialises the parameters."""
        queries = self.image_queries(self.image_tokens(images))
        states = self.all_text_states(tokens, mask)
        fused = self.fused_states(self.text_states(states), queries)
        return {
            "image_embedding": self.image_embedding(queries),
            "text_embedding": self.text_embedding(states),
            "caption_logits": self.caption_logits(fused),
        }
