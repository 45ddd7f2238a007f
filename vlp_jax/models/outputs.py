"""Named model outputs: what objectives can ask for, and how each is computed."""

import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
from flax import linen as nn

from vlp_jax.core.lookup import lookup
from vlp_jax.core.types import Batch, ComputeOutputs, Need, PyTree

# name -> function of (bound model, arrays of the stream)
OUTPUTS: dict[str, Callable[[nn.Module, Mapping[str, jax.Array]], jax.Array]] = {
    "image_embedding": lambda model, arrays: model.encode_image(arrays["image"]),
    "text_embedding": lambda model, arrays: model.encode_text(
        arrays["text_tokens"], arrays.get("text_mask")
    ),
    "logit_scale": lambda model, arrays: model.logit_scale,
    "logit_bias": lambda model, arrays: model.logit_bias,
}


def compute_outputs(model: nn.Module) -> ComputeOutputs:
    """The function by which a train step turns needs into arrays.

    It takes variables by the name of their parameters ({'live': variables}), the
    needs, the batch and a key; it returns {need: array} and the live variables other
    than parameters (batch statistics). Every need is computed once, with a key derived
    from its name, so that the order of objectives does not matter.
    """

    def compute(
        variables: Mapping[str, Mapping[str, PyTree]],
        needs: Iterable[Need],
        batch: Batch,
        key: jax.Array,
    ) -> tuple[dict[Need, jax.Array], dict[str, Any]]:
        live = dict(variables["live"])
        outputs = {}
        for need in sorted(set(needs)):
            arrays = lookup(batch, need.stream, "stream of the batch")
            if need.name in arrays:
                outputs[need] = arrays[need.name]
                continue
            function = lookup(OUTPUTS, need.name, "model output")
            chosen = live if need.parameters == "live" else variables[need.parameters]
            mutable = [name for name in chosen if name != "params"]
            outputs[need], changed = model.apply(
                chosen,
                arrays,
                method=function,
                mutable=mutable,
                rngs={
                    "dropout": jax.random.fold_in(key, zlib.crc32(repr(need).encode()))
                },
            )
            if need.parameters == "live":
                live |= changed
        return outputs, {name: v for name, v in live.items() if name != "params"}

    return compute
