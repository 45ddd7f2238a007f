"""Programs of a model over any number of rows, in batches of one compiled shape."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from flax import linen as nn
from jax.sharding import Mesh, NamedSharding

from vlp_jax.core.errors import check_range
from vlp_jax.core.types import PyTree
from vlp_jax.models.outputs import inference
from vlp_jax.parallel.mesh import batch_devices
from vlp_jax.parallel.sharding import REPLICATED, place_batch


class Batches:
    """How the rows that a predictor is given reach the devices of a mesh.

    size: rows of a batch, rounded up to what the devices divide. places: where results
    go, which is everywhere.
    """

    def __init__(self, mesh: Mesh, batch_size: int):
        check_range("batch_size", batch_size, 1)
        devices = batch_devices(mesh)
        self.mesh, self.size = mesh, -(-batch_size // devices) * devices
        self.places = NamedSharding(mesh, REPLICATED)

    def program(
        self, model: nn.Module, name: str, *arrays: str, then: Callable = lambda x: x
    ) -> Callable[..., Any]:
        """(variables, *rows of these arrays) -> that output of the model, compiled."""
        run = inference(model, name)
        return jax.jit(
            lambda v, *rows: then(run(v, **dict(zip(arrays, rows, strict=True)))),
            out_shardings=self.places,
        )

    def run(
        self,
        function: Callable,
        variables: dict[str, PyTree],
        total: int,
        rows_of: Callable[[slice], Any],
    ) -> np.ndarray:
        """What a function gives for `total` rows, one or more.

        rows_of: the rows in a slice, made for a batch at a time: they are large.
        """
        found = []
        with jax.set_mesh(self.mesh):
            for start in range(0, total, self.size):
                rows = rows_of(slice(start, start + self.size))
                n = len(rows[0])
                fill = self.size - n
                rows = [
                    np.pad(x, ((0, fill),) + ((0, 0),) * (x.ndim - 1)) for x in rows
                ]
                placed = place_batch(rows, self.mesh, whole=True)
                out = function(variables, *placed)
                found.append(np.asarray(out)[:n])
        return np.concatenate(found)
