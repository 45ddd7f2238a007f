"""Which samples every step saw, as its devices got them."""

from collections.abc import Callable
from pathlib import Path

from jax.experimental import multihost_utils

from vlp_jax.core.logs import RowFile, talks

SAMPLES_FILE = "samples.jsonl"


def logging_samples(train_step: Callable, workdir: Path, first_step: int) -> Callable:
    """`train_step` that writes {"step", stream: sample ids} to <workdir>/samples.jsonl.

    An id is the index of the sample in the source, or in the sources of a mixture one
    after the other; a substitute stands with its own. Rows are in the batch's order.

    Args:
      first_step: the step that the run goes on from; later rows are dropped.
    """
    rows = RowFile(workdir / SAMPLES_FILE, first_step) if talks() else None
    done = first_step

    def step(state, batch):
        nonlocal done
        done += 1
        ids = {name: arrays["sample_id"] for name, arrays in batch.items()}
        ids = multihost_utils.process_allgather(ids, tiled=True)
        if rows is not None:
            row = {name: values.tolist() for name, values in ids.items()}
            rows.write({"step": done, **row})
        return train_step(state, batch)

    return step
