"""Masked language modelling: the hidden tokens of a text, told with its picture."""

import dataclasses
from collections.abc import Callable
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from vlp_jax.core.errors import ConfigError, check_range
from vlp_jax.core.types import Need, Outputs, Term
from vlp_jax.objectives.cross_entropy import (
    accuracy,
    cross_entropy,
    ramped,
    soft_cross_entropy,
)
from vlp_jax.objectives.masking import choosable, choose, first_pieces, replace

TEACHER = Need("masked_lm_logits", parameters="momentum")


@dataclasses.dataclass(frozen=True, eq=False)
class MaskedLM:
    """BERT's loss (arXiv:1810.04805): the mean over all masked tokens of the batch.

    With a `soft_share` a it is ALBEF's (arXiv:2107.07651): (1 - a) of it and a of the
    cross entropy with what the moving average of the model says of the same tokens.

    Args:
      mask_id, vocab_size, pad_id, bos_id, eos_id, word_borders: of the tokenizer.
      share: of the tokens, that is masked (objectives/masking.py).
      whole_word: whether the pieces of a word are masked together.
      soft_share: a, 0.4 in ALBEF; 0: no moving average is asked for.
      ramp_steps: over which a rises from 0 (ALBEF: the steps of the first epoch).
    """

    mask_id: int | None
    vocab_size: int
    pad_id: int | None
    bos_id: int | None
    eos_id: int | None
    word_borders: np.ndarray | None
    share: float = 0.15
    whole_word: bool = False
    soft_share: float = 0.0
    ramp_steps: int = 0

    scope: ClassVar[str] = "micro"

    def __post_init__(self):
        check_range("share", self.share, 0, 1)
        check_range("soft_share", self.soft_share, 0, 1)
        check_range("ramp_steps", self.ramp_steps, 0)

    @property
    def needs(self) -> tuple[Need, ...]:
        names = "masked_lm_logits", "masked", "text_tokens", "valid"
        return (*map(Need, names), *[TEACHER] * (self.soft_share > 0))

    @property
    def derived(self) -> dict[str, Callable]:
        return {"masked": self.masked, "masked_tokens": self.masked_tokens}

    @property
    def special(self) -> tuple[int, ...]:
        ids = self.mask_id, self.pad_id, self.bos_id, self.eos_id
        return tuple(i for i in ids if i is not None)

    def check(self, batch: int, samples: int) -> None:
        """ConfigError where the tokenizer has not what masking takes."""
        if self.mask_id is None:
            raise ConfigError(
                "objectives.masked_lm needs a mask token, which this tokenizer lacks; "
                "give one that has it (BERT's), or none to train one on the captions"
            )
        if self.whole_word and self.word_borders is None:
            raise ConfigError(
                "objectives.masked_lm.whole_word: this tokenizer does not tell where "
                "words begin (data/words.py); set it to False or give another tokenizer"
            )

    def masked(self, text_tokens, text_mask, key):
        """bool [B, L]: the tokens that the model is asked for."""
        plain = choosable(text_tokens, text_mask, self.special)
        first = None
        if self.whole_word:
            first = first_pieces(text_tokens, plain, jnp.asarray(self.word_borders))
        return choose(key, plain, self.share, first)

    def masked_tokens(self, text_tokens, masked, key):
        """int32 [B, L]: the texts as the model sees them."""
        ids = self.mask_id, self.special, self.vocab_size
        return replace(key, text_tokens, masked, *ids)

    def initial_state(self):
        return ()

    def __call__(self, outputs: Outputs, step: jax.Array, state) -> Term:
        logits, masked, tokens, valid = (outputs[need] for need in self.needs[:4])
        counted = masked & valid[:, None]
        losses = cross_entropy(logits, tokens)
        if self.soft_share:
            soft = soft_cross_entropy(logits, outputs[TEACHER])
            losses += ramped(self.soft_share, self.ramp_steps, step) * (soft - losses)
        return Term(
            total=jnp.where(counted, losses, 0).sum(),
            count=counted.sum().astype(jnp.float32),
            metrics={"accuracy": accuracy(logits, tokens, counted)},
        )
