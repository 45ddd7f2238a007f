"""Models that join an image tower and a text tower."""

import jax
import jax.numpy as jnp
from einops import einsum, rearrange
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int, UInt8

from vlp_jax.core.errors import ConfigError, check_range
from vlp_jax.models.layers import Dense
from vlp_jax.models.text import TextTransformer
from vlp_jax.models.towers import normalised


def l2_normalise(x: Float[Array, "... width"]) -> Float[Array, "... width"]:
    """x / |x| in float32; a zero vector stays zero."""
    x = x.astype(jnp.float32)
    return x * jax.lax.rsqrt(jnp.square(x).sum(-1, keepdims=True) + 1e-24)


class MetaNet(nn.Module):
    """A vector for every picture, from its embedding: a bottleneck of a sixteenth.

    Its last map starts at zero, so that training begins with the prompts as they are.
    """

    width: int

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch embedding"]
    ) -> Float[Array, "batch width"]:
        hidden = nn.relu(Dense(max(1, x.shape[-1] // 16), name="in")(x))
        return Dense(self.width, init_std=0.0, name="out")(hidden)


class TwoTower(nn.Module):
    """Two encoders that meet in one embedding space (CLIP, arXiv:2103.00020).

    `logit_scale` is the logarithm of the scale s, as in every published checkpoint;
    `logit_bias` exists only where its initial value is given. SigLIP gives one, leaves
    out the image projection and has a bias in the text projection. share_projection:
    one matrix projects pictures and texts. conditional_prompts: the context tokens of
    class prompts are shifted by what a small network makes of the picture (CoCoOp: Zhou
    et al. 2022, arXiv:2203.05557).
    """

    image: nn.Module
    text: nn.Module
    embedding_size: int
    image_mean: tuple[float, float, float]  # of pixels in 0..1
    image_std: tuple[float, float, float]
    logit_scale_init: float = 2.6592600  # ln(1 / 0.07)
    logit_bias_init: float | None = None
    project_image: bool = True
    text_projection_bias: bool = False
    share_projection: bool = False
    conditional_prompts: bool = False

    def setup(self):
        check_range("model.embedding_size", self.embedding_size, 1)
        self._check_projections()

        def projection(tower, use_bias=False):
            return Dense(
                self.embedding_size,
                use_bias=use_bias,
                init_std=tower.width**-0.5,
                dtype=tower.dtype,
            )

        if self.share_projection:
            self.shared_projection = projection(self.text)
        else:
            if self.project_image:
                self.image_projection = projection(self.image)
            self.text_projection = projection(self.text, self.text_projection_bias)
        constant = nn.initializers.constant
        self.logit_scale = self.param(
            "logit_scale", constant(self.logit_scale_init), ()
        )
        if self.logit_bias_init is not None:
            self.logit_bias = self.param(
                "logit_bias", constant(self.logit_bias_init), ()
            )

        if self.conditional_prompts:
            self.meta_net = MetaNet(self.text.width)

    def _check_projections(self) -> None:
        """ConfigError for projections that do not fit the towers or each other."""
        image, text, size = self.image.width, self.text.width, self.embedding_size
        if self.conditional_prompts and (
            self.share_projection or not isinstance(self.text, TextTransformer)
        ):
            raise ConfigError(
                "model.conditional_prompts needs a text tower of kind 'transformer' "
                "with a projection of its own (model.share_projection=False)"
            )
        if self.share_projection:
            if not self.project_image or self.text_projection_bias:
                raise ConfigError(
                    "model.share_projection is one matrix without a bias for both "
                    "towers; leave out model.project_image and text_projection_bias"
                )
            if image != text:
                raise ConfigError(
                    f"model.share_projection needs towers of one width; the image "
                    f"tower's is {image}, the text tower's {text}"
                )
        elif not self.project_image and image != size:
            raise ConfigError(
                f"without an image projection (model.project_image) "
                f"model.embedding_size is the width of the image tower, "
                f"{image}; it is {size}"
            )

    def image_embedding(
        self, image: UInt8[Array, "batch height column 3"]
    ) -> Float[Array, "batch embedding"]:
        """L2-normalised float32 embeddings of RGB pictures."""
        pooled = self.image(normalised(image, self.image_mean, self.image_std))
        if self.share_projection:
            pooled = self.shared_projection(pooled)
        elif self.project_image:
            pooled = self.image_projection(pooled)
        return l2_normalise(pooled)

    def text_embedding(
        self,
        text_tokens: Int[Array, "batch token"],
        text_mask: Bool[Array, "batch token"] | None = None,
    ) -> Float[Array, "batch embedding"]:
        """L2-normalised float32 embeddings of tokenised texts."""
        pooled = self.text(text_tokens, text_mask)
        if self.share_projection:
            return l2_normalise(self.shared_projection(pooled))
        return l2_normalise(self.text_projection(pooled))

    def class_embedding(
        self,
        class_tokens: Int[Array, "classes token"],
        class_mask: Bool[Array, "classes token"],
        class_context: Bool[Array, "classes token"] | None = None,
        image_embedding: Float[Array, "batch embedding"] | None = None,
    ) -> Float[Array, "*batch classes embedding"]:
        """Of the prompts that name the classes; of each picture's own if conditional.

        class_context: which tokens are context, that a picture shifts.
        """
        if not self.conditional_prompts:
            return self.text_embedding(class_tokens, class_mask)
        shift = self.meta_net(image_embedding)[:, None, None]
        shift = jnp.where(class_context[..., None], shift, 0)
        shift = rearrange(shift, "b c token width -> (b c) token width")
        rows = len(image_embedding), 1
        tokens, mask = jnp.tile(class_tokens, rows), jnp.tile(class_mask, rows)
        texts = self.text_projection(self.text(tokens, mask, extra=shift))
        return rearrange(l2_normalise(texts), "(b c) e -> b c e", c=len(class_tokens))

    def class_logits(
        self,
        image_embedding: Float[Array, "batch embedding"],
        class_embedding: Float[Array, "*batch classes embedding"],
    ) -> Float[Array, "batch classes"]:
        """Float32 scores of classes by the prompts that name them."""
        classes = "b c e" if self.conditional_prompts else "c e"
        cosines = einsum(image_embedding, class_embedding, f"b e, {classes} -> b c")
        return jnp.exp(self.logit_scale) * cosines

    def __call__(self, images, tokens, mask=None):
        """Runs everything once; this is what initialises the parameters."""
        found = self.image_embedding(images), self.text_embedding(tokens, mask)
        if self.conditional_prompts:
            self.meta_net(found[0])
        return found
