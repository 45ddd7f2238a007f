"""Large batches in parts: encoders over micro-batches, the loss once on all of them.

The outputs of all micro-batches together are what one pass over the batch would give,
so a loss over them has the negatives of the whole batch, and its gradient is the same
one, logit scale and bias included. (A model that normalises by the statistics of its
batch has those of a micro-batch, which depend on how rows are dealt out, that is also
on the number of devices.) Only the activations of one micro-batch exist at a
time: the backward pass computes them again (Gao et al. 2021, arXiv:2101.06983).
"""

import jax
import jax.numpy as jnp
from einops import rearrange
from jax.sharding import PartitionSpec as P

from vlp_jax.core.types import ComputeOutputs
from vlp_jax.parallel.mesh import BATCH_AXES
from vlp_jax.parallel.sharding import BATCH, constrain


def accumulated(compute: ComputeOutputs, parts: int, devices: int) -> ComputeOutputs:
    """`compute` in `parts` micro-batches, each with rows of all `devices`.

    Every array of the batch has B rows, a multiple of parts * devices. An output
    without a batch axis is taken to be the same for every micro-batch (logit_scale).
    Variables such as batch statistics pass from one micro-batch to the next.
    """
    if parts == 1:
        return compute

    def split(x):
        x = rearrange(
            x,
            "(device part row) ... -> part (device row) ...",
            part=parts,
            device=devices,
        )
        return constrain(x, P(None, BATCH_AXES))

    def join(x):
        if x.ndim == 1:  # a scalar of each part
            return x[0]
        x = rearrange(
            x, "part (device row) ... -> (device part row) ...", device=devices
        )
        return constrain(x, BATCH)

    def compute_parts(variables, needs, batch, key):
        given = {n: batch[n.stream][n.name] for n in needs if _is_given(n, batch)}
        wanted = [need for need in needs if need not in given]
        params = variables["live"]["params"]
        others = {k: v for k, v in variables["live"].items() if k != "params"}

        @jax.checkpoint
        def one(others, part):
            arrays, index = part
            known = {**variables, "live": {"params": params, **others}}
            own = jax.random.fold_in(key, index)
            outputs, others = compute(known, wanted, arrays, own)
            return others, outputs

        micro_batches = jax.tree.map(split, batch), jnp.arange(parts)
        others, outputs = jax.lax.scan(one, others, micro_batches)
        return given | jax.tree.map(join, outputs), others

    return compute_parts


def _is_given(need, batch) -> bool:
    """Whether a need is an array of the batch rather than an output of the model."""
    return need.name in batch.get(need.stream, {})
