"""The largest batch that fits, in a few compilations.

Memory is close to a line in the pairs on a device. The config's batch and a smaller
one give a first line; what it predicts is tried, and each answer improves the line.
"""

import concurrent.futures
import dataclasses
import time
from collections.abc import Callable, Iterable

from vlp_jax.planning.program import Compiled, StepProgram

SECONDS = 570  # no compilation is started that would probably end later
ROOM = 0.02  # of the memory: a result this close to full is not improved upon
SAFE = 0.92  # of what a line predicts: tried along with the prediction itself


@dataclasses.dataclass
class Search:
    """Answers so far, by the number of pairs on a device.

    limit: bytes of a device. tell: hears every answer.
    """

    program: StepProgram
    limit: float
    tell: Callable[[str], None]
    answers: dict[int, Compiled] = dataclasses.field(default_factory=dict)

    def compile(self, pairs: int) -> Compiled:
        """One compilation, remembered."""
        if pairs not in self.answers:
            batch = pairs * self.program.shares
            answer = self.answers[pairs] = self.program.compile(batch)
            verdict = "fits" if self.fits(answer) else "does not fit"
            self.tell(
                f"batch {batch:,} ({pairs} a device) {verdict}: "
                f"{answer.needed / 2**30:.2f} GiB a device, compiled in "
                f"{answer.seconds:.0f} s"
            )
        return self.answers[pairs]

    def fits(self, answer: Compiled) -> bool:
        return answer.memory is not None and answer.needed <= self.limit

    def largest(self, start: int | None, guess: int) -> int:
        """Pairs on a device of the largest batch that was found to fit; 0 for none.

        start: pairs to begin with, None when they are known not to fit. guess: about
        what fits.
        """
        begin = time.monotonic()
        stage = [guess // 4] if start else [guess // 4, guess]
        while stage:
            exact, start = [start] if start else [], None
            self._compile_all(stage, exact)
            seconds = max(answer.seconds for answer in self.answers.values())
            late = time.monotonic() - begin + seconds > SECONDS
            stage = [] if late and self.best() else self._next()
        return self.best()

    def best(self) -> int:
        """Pairs on a device of the largest batch that fits so far; 0 for none."""
        return max((p for p, a in self.answers.items() if self.fits(a)), default=0)

    def _compile_all(self, pairs: Iterable[int], exact: Iterable[int]) -> None:
        """Side by side: a compilation keeps one core busy. `exact` is not rounded."""
        rounded = {round_down(p) for p in pairs} | set(exact)
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            list(pool.map(self.compile, sorted(rounded - self.answers.keys())))

    def _next(self) -> list[int]:
        """The batches to try next; none when nothing better is to be expected."""
        best = self.best()
        too_large = min(
            (p for p, a in self.answers.items() if not self.fits(a)), default=None
        )
        if best == 0:
            return [] if too_large == 1 else [too_large // 2, too_large // 8]
        if self.answers[best].needed > (1 - ROOM) * self.limit:
            return []
        target = self._predicted(best)
        if too_large is not None and target >= too_large:
            target = (best + too_large) // 2
        tried = {round_down(target), round_down(best + int(SAFE * (target - best)))}
        return sorted(p for p in tried if p > best)

    def _predicted(self, best: int) -> int:
        """Where the line through the two largest batches that fit meets the limit."""
        sizes = {p: a.needed for p, a in self.answers.items() if self.fits(a)}
        sizes[0] = self.program.state_bytes  # of no pairs at all
        low, high = sorted(sizes)[-2:]
        slope = (sizes[high] - sizes[low]) / (high - low)
        if slope <= 0:
            return best * 2
        return best + int((self.limit - sizes[best]) / slope)


def round_down(pairs: int) -> int:
    """A multiple of the 8 rows that a chip works on at a time; few pairs stay."""
    return pairs // 8 * 8 if pairs >= 16 else max(1, pairs)
