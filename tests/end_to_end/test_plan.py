"""plan as a person runs it; without libtpu the CPU compiler stands in."""

import importlib.util
import json

import pytest

from tests.end_to_end.outcomes import assert_explained
from tests.end_to_end.same_run import TINY

HAS_LIBTPU = importlib.util.find_spec("libtpu") is not None
SLICE = "--topology=v5e:4x4"


def test_a_plan_that_fits(program):
    found = program("plan", TINY, SLICE, "--config.batch_size=64").check()
    for words in (
        "16 (data 16, fsdp 1, tensor 1)",
        "64 pairs, 4 a chip",
        "parameters",
        "FLOP a pair",
        "all-reduce over 16",
        "model FLOP utilisation",
        "assumed",
        "fits, with 15.",
        "python -m vlp_jax.train --config=tests/end_to_end/tiny.py",
    ):
        assert words in found.out, f"{words!r} not in: {found.out}"
    assert HAS_LIBTPU or "pip install -r requirements.txt libtpu" in found.out


@pytest.mark.long
def test_a_plan_that_does_not_fit_and_the_largest_that_does(program):
    found = program(
        "plan",
        TINY,
        SLICE,
        "--config.batch_size=16384",
        "--config.model.image.remat=full",
        "--hbm_gib=0.03",
        "--find_batch",
        "--json",
    )
    assert found.code == 78 and "Traceback" not in found.err
    plan = json.loads(found.out)
    assert not plan["fits"] and plan["shortfall"] > 0
    memory = plan["memory"]
    assert plan["shortfall"] == pytest.approx(memory["peak"] - memory["available"])
    assert 16 <= plan["largest_batch"] < 16384
    best = plan["at_largest_batch"]
    assert best["fits"] and best["batch_size"] == plan["largest_batch"]
    assert 0.8 < best["memory"]["peak"] / best["memory"]["available"] <= 1
    assert best["roofline"]["pairs_per_second"] > 0
    assert {c["kind"] for c in best["collectives"]} >= {"all-gather", "all-reduce"}
    assert plan["devices"] == 16 and plan["parameters"] == 52_033
    assert plan["compiler"] == ("libtpu" if HAS_LIBTPU else "cpu")
    last = found.err.splitlines()[-1]
    assert f"The largest batch that fits is {plan['largest_batch']:,}" in last


WRONG = {
    "no slice": ((TINY,), ("plan needs a recipe and a slice",)),
    "unknown chip": ((TINY, "--topology=v9:2x2"), ("unknown chip", "known: tpu7x, v4")),
    "batch": (
        (TINY, SLICE, "--config.batch_size=40"),
        ("batch_size 40 cannot be split evenly over 16 devices",),
    ),
    "mesh": (
        (TINY, SLICE, "--config.mesh.data=3", "--config.mesh.fsdp=3"),
        ("mesh (data, fsdp, tensor) = (3, 3, 1) does not fill 16 devices",),
    ),
    "no steps": ((TINY, SLICE, "--config.steps=0"), ("steps is 0",)),
}


@pytest.mark.parametrize("name", WRONG)
def test_mistakes_are_explained(program, name):
    given, said = WRONG[name]
    assert_explained(program("plan", *given), *said)


@pytest.mark.long
def test_a_locked_tower_is_planned_too(program):
    flags = ("--config=configs/transfer/lit.py", "--topology=v5e:2x2")
    assert "fits, with 15." in program("plan", *flags).check().out


@pytest.mark.long
@pytest.mark.skipif(not HAS_LIBTPU, reason="NO LIBTPU: pip install libtpu to run it")
@pytest.mark.parametrize(
    ("slice", "mesh"),
    [("v6e:16x16", "fsdp=8"), ("v5p:8x8x8", "fsdp=4"), ("v5p:4x4x4", "tensor=2")],
)
def test_meshes_that_cut_a_physical_axis(program, slice, mesh):
    """Refused without compiling, but after the mesh was laid out."""
    flags = (TINY, f"--topology={slice}", f"--config.mesh.{mesh}", "--hbm_gib=0.0001")
    found = program("plan", *flags, "--config.batch_size=8192")
    assert_explained(found, "does not fit", "at least")


@pytest.mark.long
@pytest.mark.skipif(not HAS_LIBTPU, reason="NO LIBTPU: pip install libtpu to run it")
def test_the_compiler_of_tpus(program):
    flags = ("--config=configs/pretrain/clip_vit_b32.py", "--topology=v5e:4x4")
    small = ("--config.model.image.depth=2", "--config.model.text.depth=2")
    found = program("plan", *flags, *small, "--config.batch_size=512", "--json").check()
    plan = json.loads(found.out)
    assert plan["compiler"] == "libtpu" and plan["fits"]
    assert 1 < plan["memory"]["peak"] / 2**30 < 15.75
    found = program("plan", *flags, *small, "--config.batch_size=262144", "--json")
    assert found.code == 78 and json.loads(found.out)["shortfall"] > 0
