"""What a trained decoder writes about pictures: programs of tokens, and their texts."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from vlp_jax.core.errors import ConfigError
from vlp_jax.core.lookup import call
from vlp_jax.core.types import PyTree
from vlp_jax.models.decoding import Decoding
from vlp_jax.models.generate import Step, generate, repeat_rows
from vlp_jax.models.outputs import inference
from vlp_jax.models.ranking import rank_candidates

QUESTION = ("text_tokens", "text_mask")


def decoder(
    model: nn.Module, variables: dict[str, PyTree], context: PyTree, beams: int = 1
) -> tuple[Step, PyTree]:
    """A step for `generate`, and the empty cache that is its memory.

    context: what the model's `start` gave for each row. It is the same for all beams
    of a row, so it is no part of the memory that beams change among themselves.
    """
    rows = len(jax.tree.leaves(context)[0])
    contexts = {times * rows: repeat_rows(context, times) for times in {1, beams}}

    def step(cache, tokens, position):
        logits, changed = model.apply(
            {**variables, "cache": cache},
            contexts[len(tokens)],
            tokens,
            position,
            method="next_logits",
            mutable=["cache"],
        )
        return logits, dict(changed).get("cache", {})

    first = jnp.zeros((rows, 1), jnp.int32)
    _, shapes = jax.eval_shape(step, {}, first, jnp.int32(0))
    return step, jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)


class Writer:
    """Programs of a model that writes, and the tokens they start from and end in.

    Args:
      model: a module with `start` and `next_logits`.
      tokenizer: texts -> tokens, mask; with `decode` and the ids of special tokens.
      places: where the outputs of the programs go.
    """

    def __init__(self, model: nn.Module, tokenizer: Any, places: Any):
        self.model, self.tokenizer = model, tokenizer
        jit = partial(jax.jit, out_shardings=places)
        self.write = jit(self._write, static_argnums=1)
        self.rank = jit(self._rank, static_argnums=1)

    def _write(self, variables, decoding: Decoding, seed, start, numbers, *rows):
        """Tokens int32 [n, length]. numbers: of the rows, each draws by its own.

        rows: pictures and, for answers, tokens and mask of the questions.
        """
        beams = decoding.beams if decoding.method == "beam" else 1
        context = self._context(variables, rows)
        step, cache = decoder(self.model, variables, context, beams)
        root = jax.random.key(seed)
        keys = jax.vmap(partial(jax.random.fold_in, root))(numbers)
        return generate(step, cache, start, decoding, keys)

    def _rank(self, variables, k: int, candidates, mask, *rows):
        """The best candidate of each row, int32 [n]; see `rank_candidates`."""
        context = self._context(variables, rows)
        step, cache = decoder(self.model, variables, context)
        return rank_candidates(step, cache, candidates, mask, k)[0][:, 0]

    def _context(self, variables, rows):
        given = dict(zip(("image", *QUESTION), rows, strict=False))
        return inference(self.model, "start")(variables, **given)

    @property
    def start_id(self) -> int:
        """What every text begins with: the model's own token or the tokenizer's."""
        own = getattr(self.model, "start_id", None)
        ids = own, self.tokenizer.bos_id, self.tokenizer.eos_id
        return next(i for i in ids if i is not None)

    def with_start(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """(tokens, mask) of texts that begin as the decoder's do, without padding."""
        tokens, mask = self.tokenizer([*texts, ""])
        before = mask[-1].sum() - 1  # the tokenizer's own start; the end is one more
        tokens, mask = tokens[:-1, before:], mask[:-1, before:]
        tokens = np.pad(tokens, ((0, 0), (1, 0)), constant_values=self.start_id)
        mask = np.pad(mask, ((0, 0), (1, 0)), constant_values=True)
        longest = mask.sum(axis=1).max()
        return tokens[:, :longest], mask[:, :longest]

    def prompt(self, text: str) -> np.ndarray:
        """Tokens int32 [P] of what every text begins with."""
        return self.with_start([text])[0][0, :-1]

    def decoding(self, settings: dict[str, Any], prompt: int) -> Decoding:
        """Checked settings; without a `length` no more than there is room for."""
        room = self.tokenizer.length + 1 - prompt  # the last token is not read again
        if "length" not in settings:
            settings = settings | {"length": min(Decoding.length, max(room, 1))}
        ids = {name: getattr(self.tokenizer, name) for name in ("eos_id", "pad_id")}
        decoding = call(Decoding, settings, "generation", **ids)
        if decoding.length > room:
            raise ConfigError(
                f"generation got length={decoding.length} and a prompt of {prompt} "
                f"tokens; the model has room for {self.tokenizer.length} of them: set "
                f"length to at most {room}"
            )
        return decoding

    def texts(self, tokens: np.ndarray) -> list[str]:
        """The strings of what was written, each up to its end token."""
        # `decode` takes no first token for an end, where one token may start texts too.
        first = np.full((len(tokens), 1), self.tokenizer.eos_id)
        return self.tokenizer.decode(np.concatenate([first, tokens], axis=1))
