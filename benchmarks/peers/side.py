"""One side of a comparison: a process with an interpreter of its own.

The process first prints what it is, as a line of JSON; then it answers every line that
it reads (a name) by the JSON of what it found. Needs NumPy only: every side imports it.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
# As launch/environment.sh has it, and the same for every side.
TUNABLES = os.environ.get("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")
VOCABULARY, LENGTH = 49408, 77
MEAN, STD = (0.4815, 0.4578, 0.4082), (0.2686, 0.2613, 0.2758)


def pairs(batch: int, image_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Random uint8 pictures and token ids; the end of text is the largest id."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (batch, image_size, image_size, 3), np.uint8)
    tokens = rng.integers(1, VOCABULARY - 2, (batch, LENGTH)).astype(np.int32)
    ends = rng.integers(8, LENGTH, batch)
    tokens[np.arange(batch), ends] = VOCABULARY - 1
    tokens[np.arange(LENGTH) > ends[:, None]] = 0
    return images, tokens


def serve(about: dict, answers: dict[str, Callable[[], dict]]) -> None:
    """Answers until there is nothing more to read."""
    print(json.dumps(about), flush=True)
    for line in sys.stdin:
        print(json.dumps(answers[line.strip()]()), flush=True)


class Side:
    """The other end of `serve`."""

    def __init__(self, python: Path | str, module: str, task: dict):
        self.module = module
        self.process = subprocess.Popen(
            [str(python), "-m", module, json.dumps(task)],
            cwd=ROOT,
            env=os.environ | {"GLIBC_TUNABLES": TUNABLES},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.about = self._read()

    def ask(self, what: str) -> dict:
        self.process.stdin.write(f"{what}\n")
        self.process.stdin.flush()
        return self._read()

    def __enter__(self) -> "Side":
        return self

    def __exit__(self, *_) -> None:
        self.process.stdin.close()
        self.process.wait()

    def _read(self) -> dict:
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.module} ended with {self.process.wait()}")
        return json.loads(line)
