"""What the steps of a run have consumed and met, saved with the state."""

import dataclasses
from collections import Counter

from vlp_jax.core.errors import BAD_SAMPLE_CAUSES
from vlp_jax.parallel.hosts import sum_counts


@dataclasses.dataclass
class Progress:
    """Counters that are saved with the state: what the steps so far consumed.

    `samples` and `bad` are of all streams and processes together; `own` is what this
    process has counted since the last `settle`, and is never saved. `skipped_updates`
    were not finite, `rollbacks` went back to earlier weights; `checkpoint` is the last
    step that was saved because it was due: there a rollback leads, whatever was saved
    in between because the run was told to end.
    """

    samples: int = 0
    bad: Counter = dataclasses.field(default_factory=Counter)
    skipped_updates: int = 0
    rollbacks: int = 0
    checkpoint: int = 0
    own: Counter = dataclasses.field(default_factory=Counter)

    def settle(self) -> None:
        """Adds what all processes have counted; each of them calls it."""
        self.bad.update(sum_counts(self.own, BAD_SAMPLE_CAUSES))
        self.own.clear()

    def to_dict(self) -> dict:
        saved = dataclasses.asdict(self) | {"bad": dict(self.bad)}
        del saved["own"]
        return saved

    @classmethod
    def from_dict(cls, saved: dict) -> "Progress":
        known = {field.name for field in dataclasses.fields(cls)}
        found = {name: value for name, value in saved.items() if name in known}
        return cls(**found | {"bad": Counter(saved["bad"])})
