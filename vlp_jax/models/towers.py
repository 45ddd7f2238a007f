"""What towers share: the settings of their transformer, and what enters it."""

import jax
import jax.numpy as jnp
from einops import rearrange
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int, UInt8

from vlp_jax.core.errors import ConfigError, check_range
from vlp_jax.models.layers import Dense
from vlp_jax.models.transformer import Block, Transformer


def normalised(
    image: UInt8[Array, "batch height column 3"],
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
) -> Float[Array, "batch height column 3"]:
    """RGB pictures as a tower reads them; mean and std are of pixels in 0..1."""
    return (image.astype(jnp.float32) / 255 - jnp.array(mean)) / jnp.array(std)


def check_pictures(
    images: Float[Array, "batch height column channel"], size: int
) -> None:
    """ConfigError unless these are RGB pictures of size x size pixels."""
    if images.shape[1:] != (size, size, 3):
        raise ConfigError(
            f"the image tower was built for {size}x{size} pixels and got "
            f"{images.shape[1]}x{images.shape[2]}; set preprocessing.image_size"
        )


class Tower(nn.Module, kw_only=True):
    """A transformer and its settings; what comes before and after is the tower's own.

    attention: 'xla', or 'cudnn' (GPU, bfloat16; it pays from about 200 tokens).
    remat: a key of REMAT_POLICIES. dtype: of the computation, parameters are float32.
    dropout: in training, of the tokens before the first block and of every branch.
    """

    width: int
    depth: int
    heads: int
    mlp_ratio: float = 4.0
    activation: str = "quick_gelu"
    norm_epsilon: float = 1e-5
    attention: str = "xla"
    remat: str = "none"
    scan: bool = False
    dtype: str = "float32"
    dropout: float = 0.0

    def encode(
        self,
        tokens: Float[Array, "batch token width"],
        mask: Bool[Array, "batch *query seen"] | None = None,
        *seen,
        branch: str = "",
        causal: bool = False,
        post_norm: bool = False,
        block: type[Block] = Block,
    ) -> Float[Array, "batch token width"]:
        """The tokens after the last block.

        seen: context, context_mask and position, as Transformer takes them.
        """
        return Transformer(
            depth=self.depth,
            heads=self.heads,
            hidden=self.hidden,
            activation=self.activation,
            causal=causal,
            norm_epsilon=self.norm_epsilon,
            attention=self.attention,
            remat=self.remat,
            scan=self.scan,
            dtype=self.dtype,
            post_norm=post_norm,
            dropout=self.dropout,
            cache_length=self.cache_length,
            block=block,
            name="encoder",
        )(tokens, mask, *seen, branch=branch)

    def map_pooled(
        self, token: Float[Array, "batch width"]
    ) -> Float[Array, "batch width"]:
        """tanh of a linear map: the pooler of BERT and of ViT."""
        return jnp.tanh(Dense(self.width, dtype=self.dtype, name="pooler")(token))

    @property
    def cache_length(self) -> int:
        """How many tokens a text may have that the tower writes itself."""
        return 0

    @property
    def hidden(self) -> int:
        """Width between the two maps of an MLP."""
        return round(self.width * self.mlp_ratio)


class ImageTower(Tower, kw_only=True):
    """A tower that reads square pictures as rows of square patches.

    patch_dropout: the share of the patches that training leaves out of every picture.
    """

    image_size: int
    patch_size: int
    patch_dropout: float = 0.0

    def embed_patches(
        self, images: Float[Array, "batch height column 3"], use_bias: bool
    ) -> Float[Array, "batch patch width"]:
        """One token for each patch, row by row."""
        size, patch = self.image_size, self.patch_size
        check_pictures(images, size)
        if patch < 1 or size % patch:
            raise ConfigError(
                f"image_size {size} is not a multiple of model.image.patch_size {patch}"
            )
        # A strided convolution is this product; as a product it is faster on CPU.
        patches = rearrange(
            images, "b (row p) (column q) c -> b (row column) (p q c)", p=patch, q=patch
        )
        return Dense(
            self.width, use_bias=use_bias, dtype=self.dtype, name="patch_embedding"
        )(patches)

    def drop_patches(
        self, tokens: Float[Array, "batch patch width"]
    ) -> Float[Array, "batch kept width"]:
        """A random choice of the tokens, another one for every picture.

        Only in training, that is where there is a key 'dropout' (FLIP: Li et al. 2023,
        arXiv:2212.00794, which masks 50 to 75 %). The tokens carry their positions.
        At least one is kept.
        """
        check_range("model.image.patch_dropout", self.patch_dropout, 0, 1)
        if not self.patch_dropout or not self.has_rng("dropout"):
            return tokens
        batch, patches, _ = tokens.shape
        kept = max(1, round(patches * (1 - self.patch_dropout)))
        noise = jax.random.uniform(self.make_rng("dropout"), (batch, patches))
        chosen = jnp.argsort(noise, axis=1)[:, :kept, None]
        return jnp.take_along_axis(tokens, chosen, axis=1)


class TextTower(Tower, kw_only=True):
    """A tower that reads token ids, at most `length` of them a text."""

    vocab_size: int
    length: int

    @property
    def cache_length(self) -> int:
        return self.length

    def embed_tokens(
        self,
        tokens: Int[Array, "batch token"],
        mask: Bool[Array, "batch token"] | None = None,
        first: int = 0,
        position: Int[Array, ""] | None = None,
        extra: Float[Array, "batch token width"] | float = 0.0,
    ) -> Float[Array, "batch token width"]:
        """Token and position embeddings, added in float32, and what else is to be.

        first: the position of the first token. Above 0 positions are counted over the
        mask, and padding has the position before it (RoBERTa). position: where these
        tokens begin in a text that is written step by step.
        """
        if tokens.shape[1] > self.length:
            raise ConfigError(
                f"the text tower was built for {self.length} tokens and got "
                f"{tokens.shape[1]}; set tokenizer.length"
            )
        embedding = self.param(
            "token_embedding",
            nn.initializers.normal(0.02),
            (self.vocab_size, self.width),
        )
        positions = self.param(
            "position_embedding",
            nn.initializers.normal(0.01),
            (self.length + first, self.width),
        )
        if position is not None:
            places = first + position + jnp.arange(tokens.shape[1])
            return embedding[tokens] + positions[places]
        if not first:
            return embedding[tokens] + positions[: tokens.shape[1]] + extra
        counted = jnp.ones_like(tokens) if mask is None else mask.astype(tokens.dtype)
        places = first - 1 + jnp.cumsum(counted, axis=1) * counted
        return embedding[tokens] + positions[places]
