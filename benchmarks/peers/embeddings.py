"""What both sides of benchmarks/retrieval.py search: embeddings of images and texts.

Needs NumPy only: both sides import it.
"""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

RECALL_AT = (1, 5, 10)
NOISE = 6.0  # of a text around its image; some are then not found at once


def embeddings(task: dict) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(images [I, E], texts [T, E], the image of each text), unit vectors."""
    rng = np.random.default_rng(0)
    images = _unit(rng, task["images"], task["width"])
    text_image = np.arange(task["texts"]) * task["images"] // task["texts"]
    texts = NOISE * _unit(rng, task["texts"], task["width"])
    texts += images[text_image]
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    return images, texts, text_image


def _unit(rng: np.random.Generator, count: int, width: int) -> np.ndarray:
    found = rng.standard_normal((count, width), np.float32)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    return found


def measured(search: Callable[[], dict]) -> dict:
    """Seconds by the clock and of CPU, the memory added at most, and what was found."""
    Path("/proc/self/clear_refs").write_text("5")  # the most held counts from now on
    before = _status("VmRSS")
    begin, used = time.perf_counter(), time.process_time()
    found = search()
    return {
        "seconds": time.perf_counter() - begin,
        "cpu_seconds": time.process_time() - used,
        "held_mib": before,
        "added_mib": _status("VmHWM") - before,
        "found": found,
    }


def _status(name: str) -> float:
    """MiB of a line of /proc/self/status (Linux): VmRSS is held, VmHWM was at most."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) / 1024
    raise KeyError(name)
