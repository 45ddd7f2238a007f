"""Whether two runs of tiny.py (or alike) are the same, and how far one has come."""

import json
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp

from vlp_jax.checkpoint import description
from vlp_jax.checkpoint.steps import CHECKPOINTS, committed_steps
from vlp_jax.checkpoint.storage import ITEMS
from vlp_jax.core import trees
from vlp_jax.parallel.sharding import placed_shapes

TINY = "--config=tests/end_to_end/tiny.py"
STEPS = 40  # of that recipe


def checkpoint(workdir, step=STEPS) -> dict[str, np.ndarray]:
    """Every array of a checkpoint by its path, however many processes saved it."""
    folder, here = workdir / CHECKPOINTS / str(step), jax.devices()[0]
    place = jax.sharding.SingleDeviceSharding(here)
    items = {}
    with ocp.StandardCheckpointer() as checkpointer:
        for item in (name for name in ITEMS if (folder / name).exists()):
            saved = checkpointer.metadata(folder / item).item_metadata.tree
            like = placed_shapes(saved, jax.tree.map(lambda _: place, saved))
            items[item] = checkpointer.restore(folder / item, like)
    return {path: np.asarray(leaf) for path, leaf in trees.flatten(items).items()}


def files(workdir) -> dict[str, bytes]:
    """What lies beside the weights of the last checkpoint."""
    folder = workdir / CHECKPOINTS / str(STEPS) / description.FOLDER
    found = description.read_folder(folder)
    assert {"config.json", "progress.json", "tokenizer/tokenizer.json"} <= found.keys()
    found.pop("commit_success.txt")  # orbax writes the workdir's name into it
    return found


def rows(workdir) -> list[dict]:
    """The metric rows without their timing; every line must be whole."""
    found = [
        json.loads(x) for x in (workdir / "metrics.jsonl").read_text().splitlines()
    ]
    return [{k: v for k, v in row.items() if k != "timing"} for row in found]


def assert_same_run(workdir, reference, items=("model", "ema", "training")):
    expected, found = checkpoint(reference), checkpoint(workdir)
    assert {p.split("/")[0] for p in found} == set(items)
    assert found.keys() == expected.keys()
    different = [p for p in found if found[p].tobytes() != expected[p].tobytes()]
    assert not different
    assert all(found[p].dtype == expected[p].dtype for p in found)
    steps = [row["step"] for row in rows(workdir)]
    assert steps == sorted(set(steps))
    assert rows(workdir) == rows(reference)
    assert files(workdir) == files(reference)
    assert committed_steps(workdir) == committed_steps(reference)


def last_row(workdir) -> int:
    """The step of the newest row on disk, a torn one left out."""
    path = workdir / "metrics.jsonl"
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    whole = [line for line in lines if line.endswith("\n")]
    return json.loads(whole[-1])["step"] if whole else 0


def is_saving(workdir, step: int) -> bool:
    """Whether a step from `step` on is being written right now."""
    names = [path.name for path in (workdir / CHECKPOINTS).glob("*")]
    return any(not n.isdigit() and int(n.split(".")[0]) >= step for n in names)


def assert_same_arrays(workdir: Path, reference: Path) -> None:
    """For a run in legs, which has a metric row at the end of each."""
    expected, found = checkpoint(reference), checkpoint(workdir)
    assert found.keys() == expected.keys()
    assert all(found[p].tobytes() == expected[p].tobytes() for p in found)
