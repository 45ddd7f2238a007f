"""ALBEF: pictures and texts are aligned first, and fused then (arXiv:2107.07651)."""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int

from vlp_jax.core.errors import ConfigError, check_range
from vlp_jax.models.aligned import Aligned
from vlp_jax.models.heads import ClassHead, TokenHead, judge_pairs
from vlp_jax.models.layers import Dense


class Albef(Aligned):
    """An image tower, a text encoder, and layers that fuse the two.

    Li et al. 2021. The lower layers of a BERT read the text alone (`text`), the upper
    ones look at the picture as well (`fusion`). Embeddings of both sides, for the
    contrastive loss, come from before the fusion; matching, masked tokens and answers
    are read after it.

    answers: classes of an answer (0: no such head). decoder: writes answers instead,
    with the fused question in sight (section 4 of the paper).
    """

    image: nn.Module
    text: nn.Module
    fusion: nn.Module
    embedding_size: int
    image_mean: tuple[float, float, float]  # of pixels in 0..1
    image_std: tuple[float, float, float]
    decoder: nn.Module | None = None
    answers: int = 0
    logit_scale_init: float = 2.6592600  # ln(1 / 0.07)

    def setup(self):
        check_range("model.embedding_size", self.embedding_size, 1)
        if self.fusion.width != self.text.width:
            raise ConfigError(
                f"model.fusion.width is {self.fusion.width}, and the text it goes on "
                f"from has {self.text.width}; set both alike"
            )

        def head(features, tower):
            return Dense(features, dtype=tower.dtype)

        self.image_projection = head(self.embedding_size, self.image)
        self.text_projection = head(self.embedding_size, self.text)
        self.matching_head = head(2, self.fusion)
        self.token_head = TokenHead(
            self.fusion.activation, self.fusion.norm_epsilon, self.fusion.dtype
        )
        if self.answers:
            self.answer_head = ClassHead(self.answers, dtype=self.fusion.dtype)
        self.logit_scale = self.param(
            "logit_scale", nn.initializers.constant(self.logit_scale_init), ()
        )

    def fused_states(
        self,
        text_states: Float[Array, "batch token width"],
        image_tokens: Float[Array, "batch patch depth"],
        text_mask: Bool[Array, "batch token"] | None = None,
    ) -> Float[Array, "batch token width"]:
        """The tokens of texts that have seen a picture."""
        return self.fusion(text_states, text_mask, image_tokens)

    def matching_logits(
        self,
        image_tokens: Float[Array, "batch patch depth"],
        text_states: Float[Array, "batch token width"],
        text_mask: Bool[Array, "batch token"],
        negative_image_tokens: Float[Array, "batch patch depth"],
        negative_text_states: Float[Array, "batch token width"],
        negative_text_mask: Bool[Array, "batch token"],
    ) -> Float[Array, "batch 3 2"]:
        """Scores of (no match, match) for three pairs a row: see judge_pairs."""
        own = image_tokens, text_states, text_mask
        negative = negative_image_tokens, negative_text_states, negative_text_mask

        def judge(images, texts, masks):
            return self._matches(self.fused_states(texts, images, masks))

        return judge_pairs(judge, own, negative)

    def match(
        self,
        image_tokens: Float[Array, "batch patch depth"],
        text_tokens: Int[Array, "batch token"],
        text_mask: Bool[Array, "batch token"] | None = None,
    ) -> Float[Array, "batch 2"]:
        """Scores of (no match, match) of given pairs."""
        states = self.text_states(text_tokens, text_mask)
        return self._matches(self.fused_states(states, image_tokens, text_mask))

    def _matches(self, fused):
        return self.matching_head(fused[:, 0]).astype(jnp.float32)

    def masked_lm_logits(
        self,
        masked_tokens: Int[Array, "batch token"],
        image_tokens: Float[Array, "batch patch depth"],
        text_mask: Bool[Array, "batch token"] | None = None,
    ) -> Float[Array, "batch token vocabulary"]:
        """Scores of the vocabulary at every position of a text with masked tokens."""
        states = self.text_states(masked_tokens, text_mask)
        fused = self.fused_states(states, image_tokens, text_mask)
        embedding = self.text.get_variable("params", "token_embedding")
        return self.token_head(fused, embedding)

    # ---- answers to questions, which are the texts

    @property
    def lacks(self) -> tuple[str, ...]:
        """Outputs that the model is set to do without."""
        classes, writes = bool(self.answers), self.decoder is not None
        outputs = {
            "answer_logits": classes,
            "answer_token_logits": writes,
            "start": writes,
            "next_logits": writes,
        }
        return tuple(name for name, there in outputs.items() if not there)

    def answer_logits(
        self, fused_states: Float[Array, "batch token width"]
    ) -> Float[Array, "batch answer"]:
        """Scores of the classes of answers."""
        if not self.answers:
            raise ConfigError(
                "this model has no classes of answers; train it with questions "
                "(config.questions), or give it a decoder that writes them"
            )
        return self.answer_head(fused_states[:, 0])

    def answer_token_logits(
        self,
        answer_tokens: Int[Array, "batch word"],
        fused_states: Float[Array, "batch token width"],
        text_mask: Bool[Array, "batch token"] | None = None,
    ) -> Float[Array, "batch word vocabulary"]:
        """Scores of the token that follows each one of an answer."""
        return self._decoder()(answer_tokens, fused_states, text_mask)

    def start(
        self,
        image_tokens: Float[Array, "batch patch depth"],
        text_tokens: Int[Array, "batch token"],
        text_mask: Bool[Array, "batch token"],
    ) -> dict[str, Array]:
        """What the decoder looks at while it writes an answer."""
        states = self.text_states(text_tokens, text_mask)
        fused = self.fused_states(states, image_tokens, text_mask)
        return {"states": fused, "mask": text_mask}

    def next_logits(
        self,
        memory: dict[str, Array],
        tokens: Int[Array, "batch word"],
        position: Int[Array, ""],
    ) -> Float[Array, "batch vocabulary"]:
        """Scores of the token after these, the first of which is at `position`."""
        logits = self._decoder()(tokens, memory["states"], memory["mask"], position)
        return logits[:, -1]

    def _decoder(self) -> nn.Module:
        if self.decoder is None:
            raise ConfigError(
                "this model writes no answers; set model.decoder.kind='bert' with its "
                "width, depth and heads"
            )
        return self.decoder

    def __call__(self, images, tokens, mask=None):
        """Runs everything once; this is what initialises the parameters."""
        image_tokens, states = self.image_tokens(images), self.text_states(tokens, mask)
        fused = self.fused_states(states, image_tokens, mask)
        found = {
            "image_embedding": self.image_embedding(image_tokens),
            "text_embedding": self.text_embedding(states),
            "match": self._matches(fused),
            "masked_lm": self.masked_lm_logits(tokens, image_tokens, mask),
        }
        if self.answers:
            found["answer"] = self.answer_logits(fused)
        if self.decoder is not None:
            found["answer_token"] = self.answer_token_logits(tokens, fused, mask)
        return found
