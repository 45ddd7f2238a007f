"""TPU chips by their public figures, and slices of them by name ('v5e:16x16')."""

import dataclasses
import math
import re
from collections.abc import Mapping

from vlp_jax.core.errors import ConfigError
from vlp_jax.core.lookup import lookup

FORM = "chip:AxB or chip:AxBxC in chips, such as v5e:16x16 or v5p:8x8x8"


@dataclasses.dataclass(frozen=True)
class Chip:
    """What one JAX device of a kind of TPU can do.

    flops: peak bf16 FLOP/s. hbm: bytes that the compiler lets a program use (a little
    less than is built in). hbm_bandwidth, ici_bandwidth: bytes/s; the latter is what
    leaves over all links together, half of the published two-way figure. dimensions:
    of its slices. devices: JAX devices of one chip. options: for the compiler.
    """

    flops: float
    hbm: float
    hbm_bandwidth: float
    ici_bandwidth: float
    dimensions: int
    devices: int = 1
    options: Mapping[str, str] = dataclasses.field(default_factory=dict)


# Peak, bandwidths: docs.cloud.google.com/tpu/docs/{v4,v5e,v5p,v6e,tpu7x}, read in
# November 2026. HBM: the limit that libtpu 0.0.51 names when a program exceeds it.
# A TPU7x chip is two devices with half of its figures each.
GIB = 2**30
CHIPS = {
    "v4": Chip(
        275e12, 30.75 * GIB, 1228e9, 300e9, 3, options={"chip_config_name": "megacore"}
    ),
    "v5e": Chip(197e12, 15.75 * GIB, 819e9, 200e9, 2),
    "v5p": Chip(459e12, 95.73 * GIB, 2765e9, 600e9, 3),
    "v6e": Chip(918e12, 31.24 * GIB, 1638e9, 400e9, 2),
    "tpu7x": Chip(2307e12 / 2, 94.74 * GIB, 7380e9 / 2, 600e9 / 2, 3, devices=2),
}


@dataclasses.dataclass(frozen=True)
class Topology:
    """A slice of TPU chips. `hbm` may be set lower, to leave room."""

    name: str
    chip: Chip
    shape: tuple[int, ...]

    @property
    def devices(self) -> int:
        """JAX devices of the slice."""
        return math.prod(self.shape) * self.chip.devices


def parse(name: str, hbm_gib: float | None = None) -> Topology:
    """'v5e:16x16' -> Topology; ConfigError names what is known.

    hbm_gib: plan for this much memory a device instead of all that it has.
    """
    kind, _, size = name.partition(":")
    chip = lookup(CHIPS, kind, f"chip of --topology={name} (form: {FORM})")
    if not re.fullmatch(r"[1-9]\d*(x[1-9]\d*)+", size):
        raise ConfigError(f"--topology={name} is not of the form {FORM}")
    shape = tuple(int(n) for n in size.split("x"))
    if len(shape) != chip.dimensions:
        example = "x".join(["4"] * chip.dimensions)
        raise ConfigError(
            f"--topology={name}: slices of {kind} have {chip.dimensions} dimensions, "
            f"such as {kind}:{example}"
        )
    if hbm_gib is not None:
        if hbm_gib <= 0:
            raise ConfigError(f"--hbm_gib={hbm_gib}; expected more than 0")
        chip = dataclasses.replace(chip, hbm=hbm_gib * GIB)
    return Topology(name, chip, shape)
