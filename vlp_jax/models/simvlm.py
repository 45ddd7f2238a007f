"""SimVLM: a picture begins its text (Wang et al. 2022, arXiv:2108.10904)."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from vlp_jax.core.types import PyTree
from vlp_jax.models.captioner import Captioner


class SimVlm(Captioner):
    """A picture and the prefix of its text, seen whole, and the text that goes on.

    The published model has an encoder for what is seen whole and a decoder for the
    rest; this is one stack with a prefix mask, the paper's other form. Its pictures
    come through the first stages of a residual network: model.image.kind='resnet' with
    depths=(3, 4, 6); a ViT gives its tokens, a ViT of depth 0 its patches.
    """

    reads_prefix: ClassVar[bool] = True

    def prefix_logits(
        self,
        text_tokens: Int[Array, "batch token"],
        image_context: Float[Array, "batch patch width"],
        prefix_length: Int[Array, " batch"],
    ) -> Float[Array, "batch token vocabulary"]:
        """Scores of the token that follows each one; the first tokens see each other.

        So the scores up to the end of the prefix tell nothing: what they are asked for
        is in sight.
        """
        return self.decoder(text_tokens, image_context, prefix_length)

    def start(self, image_context: Float[Array, "batch patch width"]) -> PyTree:
        """Keys and values of the picture, by layer."""
        decoder, variables = self._decoder()
        _, found = decoder.apply(
            variables, None, image_context, position=jnp.int32(0), mutable=["cache"]
        )
        rows = image_context.shape[1]
        return jax.tree.map(lambda x: x[:, :rows], dict(found["cache"]))

    def next_logits(
        self,
        memory: PyTree,
        tokens: Int[Array, "batch token"],
        position: Int[Array, ""],
    ) -> Float[Array, "batch vocabulary"]:
        """Scores of the token after these, the first of which is at `position`."""
        decoder, variables = self._decoder()
        rows = jax.tree.leaves(memory)[0].shape[1]
        written = self.get_variable("cache", "written")
        if written is None:
            size = decoder.length
            written = jax.tree.map(
                lambda x: jnp.zeros((x.shape[0], size, *x.shape[2:]), x.dtype), memory
            )
        cache = jax.tree.map(
            lambda x, y: jnp.concatenate([x, y], axis=1), memory, written
        )
        logits, found = decoder.apply(
            variables | {"cache": cache},
            tokens,
            None,
            position=position,
            mutable=["cache"],
        )
        kept = jax.tree.map(lambda x: x[:, rows:], dict(found["cache"]))
        self.put_variable("cache", "written", kept)
        return logits[:, -1]

    def _decoder(self):
        """The decoder by itself, and its variables."""
        return self.decoder.clone(parent=None), {
            "params": self.decoder.variables["params"]
        }
