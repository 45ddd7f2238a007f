"""The shortest time that a step can take on a chip, and what that time is made of.

Roofline: Williams et al. 2009 (doi:10.1145/1498765.1498785), here with a third roof,
the links between chips.
"""

import dataclasses

from vlp_jax.planning.hlo import Found
from vlp_jax.planning.topologies import Chip

ASSUMPTIONS = (
    "every matrix product runs at the chip's peak bf16 rate",
    "HBM: what is resident is read once and written once a step",
    "links: ring algorithms that use all links of a chip at once",
    "the three overlap perfectly, and input never waits: no run is faster than this",
)


@dataclasses.dataclass(frozen=True)
class Roofline:
    """Seconds of one step.

    compute: matrix products, remat and loss included. hbm, ici: moving bytes in
    memory and between chips. utilisation: model FLOP (without remat and loss) over
    what the chips could do in the time of the step.
    """

    compute: float
    hbm: float
    ici: float
    pairs_per_second: float
    utilisation: float

    @property
    def step(self) -> float:
        return max(self.compute, self.hbm, self.ici)

    @property
    def step_without_overlap(self) -> float:
        return self.compute + self.hbm + self.ici

    @property
    def limit(self) -> str:
        """What the step waits for."""
        times = {"matrix products": self.compute, "HBM": self.hbm, "links": self.ici}
        return max(times, key=times.get)


@dataclasses.dataclass(frozen=True)
class Work:
    """One step: FLOP of all devices (`model_flops`: of a pair), bytes of one."""

    pairs: int
    devices: int
    flops: float
    model_flops: float
    resident_bytes: float
    found: Found


def roofline(work: Work, chip: Chip) -> Roofline:
    compute = work.flops / work.devices / chip.flops
    hbm = 2 * work.resident_bytes / chip.hbm_bandwidth
    ici = sum(c.sent for c in work.found.collectives) / chip.ici_bandwidth
    rate = work.pairs / max(compute, hbm, ici)
    utilisation = rate * work.model_flops / (work.devices * chip.flops)
    return Roofline(compute, hbm, ici, rate, utilisation)
