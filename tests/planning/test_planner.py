"""What a step needs before anything is compiled, and the verdict on it."""

import jax
import numpy as np
import pytest

from tests.recipes import tiny
from vlp_jax.planning import planner, program, topologies


def test_more_devices_than_jax_started_with(monkeypatch):
    monkeypatch.setattr(planner, "has_libtpu", lambda: False)
    assert len(planner.topology_devices(topologies.parse("v5e:2x4"))) == 8
    with pytest.raises(Exception, match="256 devices and jax started with 8"):
        planner.topology_devices(topologies.parse("v5e:16x16"))


def test_what_is_far_too_large_is_never_compiled(monkeypatch):
    monkeypatch.setattr(planner, "has_libtpu", lambda: False)
    monkeypatch.setattr(program.StepProgram, "compile", None)
    config = tiny()
    topology = topologies.parse("v5e:2x4", 0.0001)
    report = planner.make_plan(config, topology, find_batch=True)
    assert not report.fits and report.compiled is None
    assert report.needed > 2 * topology.chip.hbm
    assert report.to_dict()["memory"]["peak_is"] == "at least"
    assert report.largest_batch == 0
    assert "at least" in planner.verdict(report)
    assert "--config.mesh.fsdp" in planner.verdict(report)


def numpy_batch(step, rows):
    return [np.zeros(x.shape, x.dtype) for x in jax.tree.leaves(step.batch(rows))]


def test_a_bound_below_what_the_compiler_needs():
    config = tiny()
    step = program.StepProgram(config, jax.devices(), is_tpu=False)
    compiled = step.compile(512)
    assert planner.lower_bound(step, 512 // 8) < compiled.needed
    assert compiled.memory.arguments == pytest.approx(
        step.state_bytes + sum(x.nbytes for x in numpy_batch(step, 512 // 8)), rel=0.05
    )
