"""When things happen in a run, and where its limits are."""

import dataclasses
from collections.abc import Mapping

from vlp_jax.core.errors import check_range


@dataclasses.dataclass(frozen=True)
class Plan:
    """When things happen, in steps; `last_step` may come before `total_steps`.

    rows: of a batch, by stream.
    """

    total_steps: int
    last_step: int
    rows: Mapping[str, int]
    log_every: int
    save_every: int
    evaluate_every: int
    max_bad_share: float
    nonfinite_in_a_row: int
    rollbacks: int
    watchdog: float

    def __post_init__(self):
        check_range("steps", self.total_steps, 1)
        check_range("batch_size", min(self.rows.values()), 1)
        check_range("log_every", self.log_every, 1)
        check_range("checkpoint.every", self.save_every, 1)
        check_range("nonfinite.in_a_row", self.nonfinite_in_a_row, 1)
        check_range("nonfinite.rollbacks", self.rollbacks, 0)
        check_range("watchdog", self.watchdog, 0)

    @property
    def batch_size(self) -> int:
        """Samples of a step, of all streams together."""
        return sum(self.rows.values())
