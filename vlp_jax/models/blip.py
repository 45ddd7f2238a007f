"""BLIP: a text tower that aligns, judges and writes texts (arXiv:2201.12086)."""

from typing import ClassVar

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int

from vlp_jax.core.errors import ConfigError, check_range
from vlp_jax.models.aligned import Aligned
from vlp_jax.models.heads import TokenHead, judge_pairs
from vlp_jax.models.layers import Dense
from vlp_jax.models.mixed_bert import MixedBert
from vlp_jax.models.vit import ViT


class Blip(Aligned):
    """An image tower, a text encoder with cross-attention, and a decoder.

    Li et al. 2022. The encoder (`text`) reads a text alone, for the contrastive loss,
    and with the picture in sight, to tell whether both match; the decoder writes the
    text. As published they share all but their self-attention; a `decoder` of its own
    is what transformers' classes have, and without a `text` there is nothing else.

    What there is to ask for is set: embeddings by embedding_size, then `matching`,
    `captioning`, and `answering` (the decoder looks at the question, which the encoder
    read with the picture).

    Two tokens follow those of the tokenizer and take the place of its start token:
    [DEC] where a text is written, and [ENC] where one is read with a picture, unless
    encode_token is False (transformers leaves the tokenizer's).
    """

    own_tokens: ClassVar[int] = 2  # part of the vocab_size that towers are built with

    image: nn.Module
    image_mean: tuple[float, float, float]  # of pixels in 0..1
    image_std: tuple[float, float, float]
    bos_id: int | None  # of the tokenizer
    text: nn.Module | None = None
    decoder: nn.Module | None = None
    embedding_size: int | None = None
    matching: bool = True
    captioning: bool = True
    answering: bool = False
    encode_token: bool = True
    has_scale: bool = True  # of likenesses; transformers' BLIP has none
    logit_scale_init: float = 2.6592600  # ln(1 / 0.07)

    def setup(self):
        self._check()
        text = self.text
        if self.embedding_size is not None:
            self.image_projection = Dense(self.embedding_size, dtype=self.image.dtype)
            self.text_projection = Dense(self.embedding_size, dtype=text.dtype)
            if self.has_scale:
                constant = nn.initializers.constant(self.logit_scale_init)
                self.logit_scale = self.param("logit_scale", constant, ())
        if self.matching:
            self.matching_head = Dense(2, dtype=text.dtype)
        if self._writes and self.decoder is None:
            self.token_head = TokenHead(text.activation, text.norm_epsilon, text.dtype)

    def _check(self) -> None:
        """ConfigError for parts that cannot do what is asked of them."""
        if self.bos_id is None:
            raise ConfigError(
                "BLIP puts tokens of its own in place of the tokenizer's start token, "
                "and this tokenizer has none; choose another, such as tokenizer.path="
                "'google-bert/bert-base-uncased'"
            )
        if not isinstance(self.image, ViT):
            raise ConfigError(
                "BLIP embeds pictures by their class token; set model.image.kind to "
                "'plain_vit' or 'vit'"
            )
        needs_text = {
            "embedding_size": self.embedding_size is not None,
            "matching": self.matching,
            "answering": self.answering,
        }
        wanted = [name for name, needs in needs_text.items() if needs]
        if self.text is None and (wanted or self.decoder is None):
            whose = wanted[0] if wanted else "captioning without model.decoder"
            raise ConfigError(
                f"model.{whose} needs a text tower; set model.text.kind='mixed_bert'"
            )
        if self.text is not None and not isinstance(self.text, MixedBert):
            raise ConfigError(
                "the text tower of BLIP looks at pictures and writes; set "
                "model.text.kind='mixed_bert'"
            )
        if self.embedding_size is not None:
            check_range("model.embedding_size", self.embedding_size, 1)
        looks_at_both = self.captioning or self.decoder is None
        if self.answering and looks_at_both and self.text.width != self.image.width:
            raise ConfigError(
                f"what looks at questions here looks at pictures too, and they are "
                f"{self.text.width} and {self.image.width} wide; give model.image and "
                "model.text one width"
            )

    @property
    def _writes(self) -> bool:
        return self.captioning or self.answering

    @property
    def lacks(self) -> tuple[str, ...]:
        """Outputs that the model is set to do without."""
        outputs = {
            "image_embedding": self.embedding_size is not None,
            "text_embedding": self.embedding_size is not None,
            "text_states": self.text is not None,
            "fused_states": self.matching or self.answering,
            "match": self.matching,
            "matching_logits": self.matching,
            "caption_logits": self.captioning,
            "answer_token_logits": self.answering,
            "start": self._writes,
            "next_logits": self._writes,
        }
        return tuple(name for name, there in outputs.items() if not there)

    @property
    def _words(self) -> int:
        """Rows of the token embedding; the last two are the model's own."""
        return (self.text if self.text is not None else self.decoder).vocab_size

    @property
    def start_id(self) -> int:
        """[DEC], with which everything begins that the model writes."""
        return self._words - 2

    # ---- texts that are read with a picture in sight

    def fused_states(
        self,
        text_tokens: Int[Array, "batch token"],
        image_tokens: Float[Array, "batch patch depth"],
        text_mask: Bool[Array, "batch token"] | None = None,
    ) -> Float[Array, "batch token width"]:
        """The tokens of texts that have seen a picture."""
        if self.encode_token:
            text_tokens = text_tokens.at[:, 0].set(self._words - 1)
        return self.text(text_tokens, text_mask, image_tokens, pooled=False)

    def match(
        self,
        image_tokens: Float[Array, "batch patch depth"],
        text_tokens: Int[Array, "batch token"],
        text_mask: Bool[Array, "batch token"] | None = None,
    ) -> Float[Array, "batch 2"]:
        """Scores of (no match, match) of given pairs."""
        states = self.fused_states(text_tokens, image_tokens, text_mask)
        return self.matching_head(states[:, 0]).astype(jnp.float32)

    def matching_logits(
        self,
        image_tokens: Float[Array, "batch patch depth"],
        text_tokens: Int[Array, "batch token"],
        text_mask: Bool[Array, "batch token"],
        negative_image_tokens: Float[Array, "batch patch depth"],
        negative_text_tokens: Int[Array, "batch token"],
        negative_text_mask: Bool[Array, "batch token"],
    ) -> Float[Array, "batch 3 2"]:
        """Scores of (no match, match) for three pairs a row: see judge_pairs."""
        own = image_tokens, text_tokens, text_mask
        negative = negative_image_tokens, negative_text_tokens, negative_text_mask
        return judge_pairs(self.match, own, negative)

    # ---- texts that are written

    def caption_logits(
        self,
        text_tokens: Int[Array, "batch token"],
        image_tokens: Float[Array, "batch patch depth"],
    ) -> Float[Array, "batch token vocabulary"]:
        """Scores of the token that follows each one of a caption."""
        return self._next_tokens(self._started(text_tokens), image_tokens)

    def answer_token_logits(
        self,
        answer_tokens: Int[Array, "batch word"],
        fused_states: Float[Array, "batch token width"],
        text_mask: Bool[Array, "batch token"] | None = None,
    ) -> Float[Array, "batch word vocabulary"]:
        """Scores of the token that follows each one of an answer."""
        return self._next_tokens(self._started(answer_tokens), fused_states, text_mask)

    def start(
        self,
        image_tokens: Float[Array, "batch patch depth"],
        text_tokens: Int[Array, "batch token"] | None = None,
        text_mask: Bool[Array, "batch token"] | None = None,
    ) -> dict[str, Array]:
        """What the decoder looks at: the picture, or a question that has seen it."""
        if text_tokens is None:
            return {"states": image_tokens}
        states = self.fused_states(text_tokens, image_tokens, text_mask)
        return {"states": states} | ({} if text_mask is None else {"mask": text_mask})

    def next_logits(
        self,
        memory: dict[str, Array],
        tokens: Int[Array, "batch word"],
        position: Int[Array, ""],
    ) -> Float[Array, "batch vocabulary"]:
        """Scores of the token after these, the first of which is at `position`."""
        seen = memory["states"], memory.get("mask"), position
        return self._next_tokens(tokens, *seen)[:, -1]

    def _started(self, tokens):
        return tokens.at[:, 0].set(self.start_id)

    def _next_tokens(self, tokens, context, context_mask=None, position=None):
        """No token sees what follows, so padding needs no mask."""
        seen = context, context_mask, position
        if self.decoder is not None:
            return self.decoder(tokens, *seen)
        states = self.text(tokens, None, *seen, writes=True, pooled=False)
        return self.token_head(
            states, self.text.get_variable("params", "token_embedding")
        )

    def __call__(self, images, tokens, mask=None):
        """Runs everything once; this is what initialises the parameters."""
        image_tokens, found = self.image_tokens(images), {}
        if self.embedding_size is not None:
            found["image_embedding"] = self.image_embedding(image_tokens)
            states = self.text_states(tokens, mask)
            found["text_embedding"] = self.text_embedding(states)
        if self.matching:
            found["match"] = self.match(image_tokens, tokens, mask)
        if self.captioning:
            found["caption"] = self.caption_logits(tokens, image_tokens)
        if self.answering:
            fused = self.fused_states(tokens, image_tokens, mask)
            found["answer_token"] = self.answer_token_logits(tokens, fused, mask)
        return found
