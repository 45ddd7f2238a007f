"""The recipe of tiny.py on data that one process waits for in vain after a while."""

import os
import runpy
import time
from pathlib import Path

from vlp_jax import recipe
from vlp_jax.data.sources import SOURCES
from vlp_jax.data.sources.digit_scenes import DigitScenes

TINY = str(Path(__file__).with_name("tiny.py"))


class Sleepy(DigitScenes):
    """Digit scenes; process `sleeper` of the run reads only so many of them."""

    def __init__(self, size: int = 512, reads: int = 500, sleeper: int = 0):
        super().__init__("train", size=size, canvas=24)
        self.reads = reads
        self.sleeps = os.environ.get("JAX_PROCESS_ID", "0") == str(sleeper)

    def __getitem__(self, index: int):
        self.reads -= 1
        while self.sleeps and self.reads < 0:
            time.sleep(1)
        return super().__getitem__(index)


SOURCES["sleepy"] = Sleepy


def get_config():
    config = runpy.run_path(TINY)["get_config"]()
    config.data.train = recipe.source("sleepy")
    config.steps = 1000
    config.log_every = 1
    config.evaluation.every = 0
    return config
