"""Which sample stands where: a pure function of (seed, position).

The position of a sample is step * batch_size + row. Nothing else decides what is
read, so a run can go on at any step with any number of hosts, and needs no saved
state to do so.
"""

import dataclasses

import grain


@dataclasses.dataclass(frozen=True)
class Order:
    """Every pass over the `size` samples of a source is a new permutation."""

    size: int
    seed: int

    def __call__(self, position: int) -> int:
        """The index of the sample at a position of the endless stream."""
        epoch, index = divmod(position, self.size)
        if self.size == 1:
            return 0
        return grain.experimental.index_shuffle(
            index, self.size - 1, seed=(self.seed + 7919 * epoch) % 2**32, rounds=4
        )
