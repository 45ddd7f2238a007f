"""Slices by name, and what a step on them needs before anything is compiled."""

import runpy
from pathlib import Path

import jax
import pytest

from vlp_jax.core.errors import ConfigError
from vlp_jax.planning import planner, program, topologies

TINY = Path(__file__).parents[1] / "end_to_end" / "tiny.py"


@pytest.mark.parametrize(
    ("name", "devices"),
    [("v5e:16x16", 256), ("v5p:8x8x8", 512), ("v4:2x2x1", 4), ("tpu7x:2x2x1", 8)],
)
def test_slices(name, devices):
    assert topologies.parse(name).devices == devices


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("v5x:4x4", "unknown chip .*'v5x'; known: tpu7x, v4, v5e, v5p, v6e.*did you"),
        ("v5e", "not of the form .*v5e:16x16"),
        ("v5e:2x2x2", "2 dimensions, such as v5e:4x4"),
        ("v5e:16x", "not of the form"),
        ("v5e:0x16", "not of the form"),
        ("v5p:8x8", "slices of v5p have 3 dimensions, such as v5p:4x4x4"),
    ],
)
def test_wrong_names_are_explained(name, said):
    with pytest.raises(ConfigError, match=said):
        topologies.parse(name)


def test_less_memory_than_is_built_in():
    assert topologies.parse("v5e:4x4", 2.0).chip.hbm == 2 * 2**30
    assert topologies.parse("v5e:4x4").chip.hbm == 15.75 * 2**30
    with pytest.raises(ConfigError, match="--hbm_gib=-1"):
        topologies.parse("v5e:4x4", -1)


def test_more_devices_than_jax_started_with(monkeypatch):
    monkeypatch.setattr(planner, "has_libtpu", lambda: False)
    assert len(planner.topology_devices(topologies.parse("v5e:2x4"))) == 8
    with pytest.raises(Exception, match="256 devices and jax started with 8"):
        planner.topology_devices(topologies.parse("v5e:16x16"))


def test_what_is_far_too_large_is_never_compiled(monkeypatch):
    monkeypatch.setattr(planner, "has_libtpu", lambda: False)
    monkeypatch.setattr(program.StepProgram, "compile", None)
    config = runpy.run_path(str(TINY))["get_config"]()
    topology = topologies.parse("v5e:2x4", 0.0001)
    report = planner.make_plan(config, topology, find_batch=True)
    assert not report.fits and report.compiled is None
    assert report.needed > 2 * topology.chip.hbm
    assert report.to_dict()["memory"]["peak_is"] == "at least"
    assert report.largest_batch == 0
    assert "at least" in planner.verdict(report)
    assert "--config.mesh.fsdp" in planner.verdict(report)


def test_a_bound_below_what_the_compiler_needs():
    config = runpy.run_path(str(TINY))["get_config"]()
    step = program.StepProgram(config, jax.devices(), is_tpu=False)
    compiled = step.compile(512)
    assert planner.lower_bound(step, 512 // 8) < compiled.needed
    assert compiled.memory.arguments == pytest.approx(
        step.state_bytes + sum(x.nbytes for x in numpy_batch(step, 512 // 8)), rel=0.05
    )


def numpy_batch(step, rows):
    import numpy as np

    return [np.zeros(x.shape, x.dtype) for x in jax.tree.leaves(step.batch(rows))]


@pytest.mark.parametrize(
    ("message", "needed"),
    [
        (
            "RESOURCE_EXHAUSTED: E1000: CompileTimeHbmOom: Ran out of memory on HBM, "
            "the total memory required for HLO temporaries (19.98G) exceeds available "
            "HBM (15.75G).",
            19.98 * 2**30 + 5,
        ),
        ("XLA:TPU compile permanent error. Used 512.5M of 16.00M hbm.", 512.5 * 2**20),
    ],
)
def test_what_a_refused_program_asked_for(message, needed):
    assert program.needed_bytes(message, state_bytes=5) == needed


def test_other_failures_of_the_compiler_are_not_taken_for_a_lack_of_memory():
    with pytest.raises(Exception, match="the compiler failed: INTERNAL: no"):
        program.needed_bytes("INTERNAL: no", 0)
