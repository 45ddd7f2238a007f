"""ViLT: one transformer reads words and patches (Kim et al. 2021, arXiv:2102.03334)."""

import jax.numpy as jnp
from einops import rearrange
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int, UInt8

from vlp_jax.core.errors import ConfigError
from vlp_jax.models.heads import ClassHead, TokenHead
from vlp_jax.models.layers import Dense, LayerNorm
from vlp_jax.models.stream_vit import StreamViT
from vlp_jax.models.towers import normalised


class WordEmbedding(nn.Module):
    """BERT's: word, position and type, normalised; every word has the first type."""

    vocab_size: int
    length: int
    width: int
    token_types: int = 2
    norm_epsilon: float = 1e-12
    dtype: str = "float32"

    def setup(self):
        normal = nn.initializers.normal(0.02)
        for name, rows in (
            ("token", self.vocab_size),
            ("position", self.length),
            ("type", self.token_types),
        ):
            table = self.param(f"{name}_embedding", normal, (rows, self.width))
            setattr(self, f"{name}_embedding", table)
        self.norm_pre = LayerNorm(self.norm_epsilon, self.dtype)

    def __call__(
        self, tokens: Int[Array, "batch token"]
    ) -> Float[Array, "batch token width"]:
        if tokens.shape[1] > self.length:
            raise ConfigError(
                f"the model was built for {self.length} tokens and got "
                f"{tokens.shape[1]}; set tokenizer.length"
            )
        position = self.position_embedding[: tokens.shape[1]]
        return self.norm_pre(
            self.token_embedding[tokens] + position + self.type_embedding[0]
        )


class Vilt(nn.Module):
    """Words and patches in one stream; heads on the states of the words.

    Each head is there by a setting: `matching`, `masked_lm`, and `answers`, the number
    of answers to choose from. A match is one score s, which stands for the logits
    (0, s): the difference of the two that the paper's head has, and what transformers
    ranks by.
    """

    image: nn.Module
    vocab_size: int
    length: int
    image_mean: tuple[float, float, float]  # of pixels in 0..1
    image_std: tuple[float, float, float]
    token_types: int = 2
    matching: bool = True
    masked_lm: bool = True
    answers: int = 0

    @property
    def lacks(self) -> tuple[str, ...]:
        """Outputs for which the model has no head."""
        heads = {
            "match": self.matching,
            "matching_logits": self.matching,
            "masked_lm_logits": self.masked_lm,
            "answer_logits": self.answers,
        }
        return tuple(name for name, there in heads.items() if not there)

    def setup(self):
        if not isinstance(self.image, StreamViT):
            raise ConfigError(
                "ViLT reads words and patches with one transformer; set "
                "model.image.kind='stream_vit'"
            )
        image = self.image
        settings = dict(norm_epsilon=image.norm_epsilon, dtype=image.dtype)
        self.text = WordEmbedding(
            self.vocab_size, self.length, image.width, self.token_types, **settings
        )
        self.modality_embedding = self.param(
            "modality_embedding", nn.initializers.normal(0.02), (2, image.width)
        )
        self.pooler = Dense(image.width, dtype=image.dtype)
        if self.matching:
            self.matching_head = Dense(1, dtype=image.dtype)
        if self.masked_lm:
            self.masked_lm_head = TokenHead(image.activation, **settings)
        if self.answers:
            self.answer_head = ClassHead(self.answers, dtype=image.dtype)

    def image_tokens(
        self,
        image: UInt8[Array, "batch height column 3"],
        pixel_mask: Bool[Array, "batch height column"] | None = None,
    ) -> Float[Array, "batch patch width"]:
        """What the stream reads of RGB pictures: class token, patches, positions."""
        pixels = normalised(image, self.image_mean, self.image_std)
        return self.image.embed(pixels, pixel_mask)

    def _image_mask(self, image_tokens, pixel_mask):
        """Which image tokens are in sight: the class token, and patches of picture."""
        if pixel_mask is None:
            return jnp.ones(image_tokens.shape[:2], bool)
        patch = self.image.patch_size
        inside = rearrange(
            pixel_mask[:, ::patch, ::patch], "batch row column -> batch (row column)"
        )
        return jnp.pad(inside, ((0, 0), (1, 0)), constant_values=True)

    def stream_states(
        self,
        image_tokens: Float[Array, "batch patch width"],
        text_tokens: Int[Array, "batch token"],
        text_mask: Bool[Array, "batch token"],
        pixel_mask: Bool[Array, "batch height column"] | None = None,
    ) -> Float[Array, "batch both width"]:
        """The states of all words, then of the class token and the patches."""
        words, patches = self.modality_embedding.astype(image_tokens.dtype)
        tokens = jnp.concatenate(
            [self.text(text_tokens) + words, image_tokens + patches], axis=1
        )
        in_sight = self._image_mask(image_tokens, pixel_mask)
        return self.image.read(tokens, jnp.concatenate([text_mask, in_sight], axis=1))

    def pair_states(
        self,
        image_tokens: Float[Array, "batch patch width"],
        negative_image_tokens: Float[Array, "batch patch width"],
        text_tokens: Int[Array, "batch token"],
        text_mask: Bool[Array, "batch token"],
        pixel_mask: Bool[Array, "batch height column"] | None = None,
        negative_pixel_mask: Bool[Array, "batch height column"] | None = None,
    ) -> Float[Array, "batch 2 both width"]:
        """The states of every text with its picture, and with another one."""
        if (pixel_mask is None) != (negative_pixel_mask is None):
            raise ConfigError(
                "one of pixel_mask and negative_pixel_mask is missing; pictures of "
                "several sizes need both"
            )

        def both(one, other):
            if one is None:
                return None
            # Rows of a pair stay neighbours, and so on the same device.
            return rearrange(jnp.stack([one, other], 1), "b two ... -> (b two) ...")

        states = self.stream_states(
            both(image_tokens, negative_image_tokens),
            both(text_tokens, text_tokens),
            both(text_mask, text_mask),
            both(pixel_mask, negative_pixel_mask),
        )
        return rearrange(
            states, "(batch two) token width -> batch two token width", two=2
        )

    def _match(self, states: Float[Array, "... token width"]) -> Float[Array, "... 2"]:
        """Logits, the second one of a match, of the states of streams."""
        score = self.matching_head(self._pooled(states)).astype(jnp.float32)
        return jnp.concatenate([jnp.zeros_like(score), score], axis=-1)

    def _pooled(self, states):
        """tanh of a linear map of the first word, the tokenizer's start."""
        return jnp.tanh(self.pooler(states[..., 0, :]))

    def matching_logits(
        self, pair_states: Float[Array, "batch 2 both width"]
    ) -> Float[Array, "batch 2 2"]:
        """Along axis 1 the pair and the text with a negative picture."""
        return self._match(pair_states)

    def word_states(
        self,
        pair_states: Float[Array, "batch 2 both width"],
        text_mask: Bool[Array, "batch token"],
    ) -> Float[Array, "batch token width"]:
        """Of the words of the pair."""
        return pair_states[:, 0, : text_mask.shape[1]]

    def patch_states(
        self,
        pair_states: Float[Array, "batch 2 both width"],
        text_mask: Bool[Array, "batch token"],
    ) -> Float[Array, "batch patch width"]:
        """Of the patches of the pair, without the class token."""
        return pair_states[:, 0, text_mask.shape[1] + 1 :]

    def unmatched_word_states(
        self,
        pair_states: Float[Array, "batch 2 both width"],
        text_mask: Bool[Array, "batch token"],
    ) -> Float[Array, "batch token width"]:
        """Of the same words beside a negative picture."""
        return pair_states[:, 1, : text_mask.shape[1]]

    def unmatched_patch_states(
        self,
        pair_states: Float[Array, "batch 2 both width"],
        text_mask: Bool[Array, "batch token"],
    ) -> Float[Array, "batch patch width"]:
        """Of the patches of the negative picture, without the class token."""
        return pair_states[:, 1, text_mask.shape[1] + 1 :]

    def unmatched_text_mask(
        self, text_mask: Bool[Array, "batch token"]
    ) -> Bool[Array, "batch token"]:
        """That of the same texts: it is the pictures that are negative."""
        return text_mask

    def match(
        self,
        image_tokens: Float[Array, "batch patch width"],
        text_tokens: Int[Array, "batch token"],
        text_mask: Bool[Array, "batch token"],
        pixel_mask: Bool[Array, "batch height column"] | None = None,
    ) -> Float[Array, "batch 2"]:
        """Logits, the second one of a match."""
        given = image_tokens, text_tokens, text_mask, pixel_mask
        return self._match(self.stream_states(*given))

    def masked_lm_logits(
        self,
        masked_tokens: Int[Array, "batch token"],
        text_mask: Bool[Array, "batch token"],
        image_tokens: Float[Array, "batch patch width"],
        pixel_mask: Bool[Array, "batch height column"] | None = None,
    ) -> Float[Array, "batch token word"]:
        """Scores of the words that may stand at each place."""
        given = image_tokens, masked_tokens, text_mask, pixel_mask
        states = self.stream_states(*given)[:, : masked_tokens.shape[1]]
        return self.masked_lm_head(states, self.text.token_embedding)

    def answer_logits(
        self,
        text_tokens: Int[Array, "batch token"],
        text_mask: Bool[Array, "batch token"],
        image_tokens: Float[Array, "batch patch width"],
        pixel_mask: Bool[Array, "batch height column"] | None = None,
    ) -> Float[Array, "batch answer"]:
        """Scores of the answers to a question, each by itself a sigmoid's (VQA)."""
        given = image_tokens, text_tokens, text_mask, pixel_mask
        return self.answer_head(self._pooled(self.stream_states(*given)))

    def __call__(self, images, tokens, mask=None):
        """Runs everything once; this is what initialises the parameters."""
        mask = jnp.ones(tokens.shape, bool) if mask is None else mask
        pictures = self.image_tokens(images)
        states = self.stream_states(pictures, tokens, mask)
        found = {"states": states, "pooled": self._pooled(states)}
        if self.matching:
            found["match"] = self.match(pictures, tokens, mask)
        if self.masked_lm:
            found["masked_lm"] = self.masked_lm_logits(tokens, mask, pictures)
        if self.answers:
            found["answer"] = self.answer_logits(tokens, mask, pictures)
        return found
