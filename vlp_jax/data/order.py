"""Which sample stands where: a pure function of (seed, position).

The position of a sample is step * batch_size + row. Nothing else decides what is
read, so a run can go on at any step with any number of hosts, and needs no saved
state to do so.
"""

import dataclasses
import functools
from collections.abc import Sequence

import grain
import numpy as np

from vlp_jax.core.errors import ConfigError, check_range

STRIDES = (7919, 7907)  # primes: substitutes lie far apart, neighbours are bad too
CYCLE = 100_000  # positions after which the pattern of a mixture repeats
WINDOWS_KEPT = 4  # windows of a block order whose layout is remembered


def epoch_seed(seed: int, epoch: int) -> int:
    return (seed + 7919 * epoch) % 2**32


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
            index, self.size - 1, seed=epoch_seed(self.seed, epoch), rounds=4
        )

    def substitute(self, index: int, probe: int) -> int:
        """The sample that is tried in place of one that cannot be used."""
        stride = STRIDES[0] if self.size % STRIDES[0] else STRIDES[1]
        return (index + probe * stride) % self.size


class BlockOrder:
    """Passes that read every block from its start to its end: for remote shards.

    The blocks of a pass are permuted, and `interleave` of them at a time are read
    side by side: which of them comes next is drawn anew for every sample.

    Args:
      ends: the index after the last sample of each block, growing.
      seed: of the permutations.
      interleave: how many blocks are open at a time.
    """

    def __init__(self, ends: Sequence[int], seed: int, interleave: int = 16):
        check_range("data.interleave", interleave, 1)
        self.ends = np.asarray(ends, np.int64)
        self.seed, self.interleave = seed, interleave
        self.starts = np.concatenate([[0], self.ends[:-1]])
        self.size = int(self.ends[-1])
        # Caches that belong to this object, and that a pickle leaves behind.
        self._pass = functools.lru_cache(2)(self._layout_of_pass)
        self._window = functools.lru_cache(WINDOWS_KEPT)(self._layout_of_window)

    def __reduce__(self):
        return BlockOrder, (self.ends, self.seed, self.interleave)

    def __call__(self, position: int) -> int:
        """The index of the sample at a position of the endless stream."""
        epoch, place = divmod(position, self.size)
        _, window_ends = self._pass(epoch)
        window = int(np.searchsorted(window_ends, place, "right"))
        start = int(window_ends[window - 1]) if window else 0
        return int(self._window(epoch, window)[place - start])

    def _layout_of_pass(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """(blocks as they are read, the position after the last of each window)."""
        rng = np.random.default_rng((self.seed, epoch))
        blocks = rng.permutation(len(self.ends))
        read = np.cumsum((self.ends - self.starts)[blocks])
        last = np.arange(self.interleave, len(blocks) + self.interleave)
        last = np.minimum(last[:: self.interleave], len(blocks)) - 1
        return blocks, read[last]

    def _layout_of_window(self, epoch: int, window: int) -> np.ndarray:
        """The indices of the samples of a window, as they are read."""
        blocks = self._pass(epoch)[0][window * self.interleave :][: self.interleave]
        rng = np.random.default_rng((self.seed, epoch, window))
        sizes = (self.ends - self.starts)[blocks]
        turns = rng.permutation(np.repeat(np.arange(len(blocks)), sizes))
        found = np.empty(len(turns), np.int64)
        for number, block in enumerate(blocks):
            found[turns == number] = np.arange(self.starts[block], self.ends[block])
        return found

    def substitute(self, index: int, probe: int) -> int:
        """First the next sample of the block, which is being read anyway."""
        if probe > 1:  # the whole block may be bad
            return Order(self.size, self.seed).substitute(index, probe)
        block = int(np.searchsorted(self.ends, index, "right"))
        start, end = int(self.starts[block]), int(self.ends[block])
        return start + (index - start + 1) % (end - start)


class MixedOrder:
    """Several orders in fixed proportions, as samples of one concatenated source.

    Of every CYCLE positions, each order fills its share, and walks through its own
    samples as if it were alone.

    Args:
      orders: of the sources, in the order of their concatenation.
      weights: their shares, up to a common factor.
      seed: of the pattern in which they take turns.
    """

    def __init__(self, orders: Sequence, weights: Sequence[float], seed: int):
        self.orders, self.seed = tuple(orders), seed
        self.size = sum(order.size for order in orders)
        self.starts = np.cumsum([0, *(order.size for order in orders)])
        self.turns_of = turns(weights)
        numbers = np.repeat(np.arange(len(orders)), self.turns_of)
        self._pattern = np.random.default_rng(seed).permutation(numbers)
        self._rank = np.empty(CYCLE, np.int64)
        for number, count in enumerate(self.turns_of):
            self._rank[self._pattern == number] = np.arange(count)

    def __call__(self, position: int) -> int:
        """The index in the concatenation of the sample at a position."""
        cycle, place = divmod(position, CYCLE)
        number = int(self._pattern[place])
        own = cycle * int(self.turns_of[number]) + int(self._rank[place])
        return int(self.starts[number]) + self.orders[number](own)

    def substitute(self, index: int, probe: int) -> int:
        """A sample of the same source."""
        number = int(np.searchsorted(self.starts, index, "right")) - 1
        start = int(self.starts[number])
        return start + self.orders[number].substitute(index - start, probe)


def turns(weights: Sequence[float]) -> np.ndarray:
    """How many of CYCLE turns each gets: rounded, none without one, CYCLE in all."""
    weights = np.asarray(weights, np.float64)
    if not (np.isfinite(weights).all() and (weights > 0).all()):
        raise ConfigError(
            f"the weights of a mixture are {weights.tolist()}; expected positive "
            "numbers (leave out a source rather than giving it weight 0)"
        )
    exact = CYCLE * weights / weights.sum()
    counts = np.maximum(np.floor(exact).astype(np.int64), 1)
    for at in np.argsort(counts - exact, kind="stable")[: max(CYCLE - counts.sum(), 0)]:
        counts[at] += 1  # the largest remainders
    counts[counts.argmax()] -= counts.sum() - CYCLE  # what the smallest ones took
    return counts
