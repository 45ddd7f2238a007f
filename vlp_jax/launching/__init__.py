"""Ways to launch by name. To add one, write launching/<engine>.py and a line here.

An engine is a dataclass: its fields are the settings of a spec.
"""

from collections.abc import Mapping
from typing import Any

from vlp_jax.core.lookup import call, lookup
from vlp_jax.launching.gke import GkeGpu, GkeTpu
from vlp_jax.launching.job import Job, checked
from vlp_jax.launching.local import Local
from vlp_jax.launching.skypilot import SkyPilot
from vlp_jax.launching.slurm import Slurm
from vlp_jax.launching.tpu_vm import TpuVm
from vlp_jax.launching.xpk import Xpk

ENGINES = {
    "local": Local,
    "slurm": Slurm,
    "gke_tpu": GkeTpu,
    "gke_gpu": GkeGpu,
    "xpk": Xpk,
    "skypilot": SkyPilot,
    "tpu_vm": TpuVm,
}


def make_job(spec: Mapping[str, Any]) -> Job:
    """The job that a spec describes: its `engine`, and that engine's settings."""
    engine = lookup(ENGINES, spec["engine"], "engine")
    settings = {k: v for k, v in spec.items() if k != "engine" and v is not None}
    return call(engine, checked(settings), f"engine {spec['engine']!r}")
