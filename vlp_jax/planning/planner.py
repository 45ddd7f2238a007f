"""Plans a run: from a config and a topology to a report."""

import dataclasses
import importlib.util
import os
from collections.abc import Callable

import jax
from ml_collections import ConfigDict

from vlp_jax import settings
from vlp_jax.core.errors import ConfigError, RunError
from vlp_jax.planning.program import StepProgram
from vlp_jax.planning.report import Report, make_report, size
from vlp_jax.planning.search import Search
from vlp_jax.planning.topologies import Topology

# Of the activations that the backward pass asks for, fusion and the compiler's own
# remat leave at least this much: between 0.35 and 1 were measured.
KEPT_AT_LEAST, KEPT_USUALLY = 0.2, 0.6

NO_LIBTPU = (
    "libtpu is not installed, so the CPU compiler stands in for the TPU's: parameters, "
    "FLOP, arguments and the kinds of collectives are right; temporaries (and so "
    "'fits') and how collectives are merged are only a rough guide. For the real "
    "compiler, in an environment of its own: pip install -r requirements.txt libtpu"
)


def prepare_environment(topology: Topology) -> None:
    """Lets this CPU machine compile for the topology. Call it before using jax."""
    jax.config.update("jax_platforms", "cpu")
    # The cache does not keep a program's text.
    jax.config.update("jax_enable_compilation_cache", False)
    os.environ.update(
        TPU_SKIP_MDS_QUERY="1",  # do not ask a cloud whether this is a TPU machine
        ALLOW_MULTIPLE_LIBTPU_LOAD="1",  # nothing runs on a TPU: two plans may
        # What libtpu would otherwise look for on this machine and complain about.
        TPU_ACCELERATOR_TYPE="v5litepod-4",
        TPU_WORKER_HOSTNAMES="localhost",
        TPU_WORKER_ID="0",
        TPU_STDERR_LOG_LEVEL="3",
        TF_CPP_MIN_LOG_LEVEL="3",
    )
    devices = f"--xla_force_host_platform_device_count={topology.devices}"
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {devices}".strip()


def has_libtpu() -> bool:
    return importlib.util.find_spec("libtpu") is not None


def topology_devices(topology: Topology) -> list[jax.Device]:
    """The devices of a slice: described by libtpu, or as many CPU devices."""
    if not has_libtpu():
        devices = jax.devices("cpu")[: topology.devices]
        if len(devices) < topology.devices:
            raise RunError(
                f"{topology.name} has {topology.devices} devices and jax started with "
                f"{len(devices)}; call prepare_environment first"
            )
        return devices
    from jax.experimental import topologies

    try:
        described = topologies.get_topology_desc(
            platform="tpu", topology_name=topology.name, **topology.chip.options
        )
    except Exception as error:  # whatever libtpu raises: its errors have no type
        said = " ".join(str(error).split())
        raise ConfigError(f"--topology={topology.name}: libtpu says: {said}") from error
    return list(described.devices)


def make_program(config: ConfigDict, topology: Topology) -> StepProgram:
    return StepProgram(config, topology_devices(topology), has_libtpu())


def make_plan(
    config: ConfigDict,
    topology: Topology,
    find_batch: bool = False,
    tell: Callable[[str], None] = lambda text: None,
) -> Report:
    """Compiles the step of a config for a topology and reports.

    A step that is far too large is refused without compiling it. `find_batch` looks
    for the largest batch that fits where the config's does not. `tell` hears what
    takes time.
    """
    settings.check_settings(config)  # what training would refuse at once
    config.steps = config.steps or 1  # how many epochs are, only the data know
    settings.make_plan(config)
    program = make_program(config, topology)
    settings.check_sizes(config, program.mesh)
    batch, limit = program.sizes[program.stream], topology.chip.hbm
    pairs = program.pairs_of(batch)
    search = Search(program, limit, tell)
    at_least = lower_bound(program, pairs)
    possible = at_least <= limit
    if not possible:
        tell(f"batch {batch:,} needs at least {size(at_least)} a device: not compiled")
    largest = None
    if find_batch:
        largest = 0
        if lower_bound(program, 1) <= limit:
            start = pairs if possible else None
            largest = search.largest(start, guess_pairs(program, limit))
        largest *= program.shares
    answer = search.compile(pairs) if possible else None
    report = make_report(program, topology, batch, at_least, answer)
    if largest and largest != batch:
        best = search.answers[largest // program.shares]
        at_largest = make_report(program, topology, largest, at_least, best)
        report = dataclasses.replace(report, at_largest=at_largest)
    return dataclasses.replace(report, largest_batch=largest)


def lower_bound(program: StepProgram, pairs: int) -> float:
    """Bytes that a step needs on a device, whatever the compiler does."""
    kept = program.kept_bytes * pairs * KEPT_AT_LEAST
    return program.state_bytes + program.gradient_bytes + kept


def guess_pairs(program: StepProgram, limit: float) -> int:
    """About how many pairs a device has room for."""
    left = limit - program.state_bytes - 2 * program.gradient_bytes
    return max(2, int(left / (program.kept_bytes * KEPT_USUALLY)))


def verdict(report: Report) -> str:
    """'fits', or what is missing and what to do, in one or two lines."""
    if report.fits:
        free = report.topology.chip.hbm - report.needed
        return f"fits, with {size(free)} to spare a device"
    exact = report.compiled is not None
    said = (
        f"{report.name} with a batch of {report.batch_size:,} does not fit "
        f"{report.topology.name}: it needs {'' if exact else 'at least '}"
        f"{size(report.needed)} a device, {size(report.shortfall)} too much."
    )
    if report.largest_batch:
        return f"{said} The largest batch that fits is {report.largest_batch:,}"
    if report.largest_batch == 0:
        return (
            f"{said} No batch fits: shard the state with --config.mesh.fsdp, or take a "
            "larger topology"
        )
    return f"{said} --find_batch looks for the largest that fits"
