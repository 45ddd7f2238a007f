"""A plan's report: what fits, and the lines and the JSON that say so."""

import dataclasses

import pytest

from vlp_jax.planning.hlo import Collective, Found
from vlp_jax.planning.program import Compiled, Memory
from vlp_jax.planning.report import Report, size
from vlp_jax.planning.topologies import parse

GIB = 2**30
FOUND = Found((Collective("all-reduce", 16, 3, 2e8),), unknown_loops=1)
MEMORY = Memory(arguments=4 * GIB, temporaries=6 * GIB, code=GIB, peak=11 * GIB)
FITS = Report(
    name="clip",
    topology=parse("v5e:4x4"),
    batch_size=1024,
    mesh={"data": 16, "fsdp": 1, "tensor": 1},
    parameters=151_277_313,
    model_flops=44.3e9,
    remat="image none, text none",
    state_bytes=2 * GIB,
    needed=11 * GIB,
    compiled=Compiled(12.0, 1024 * 50e9, 11 * GIB, MEMORY, FOUND),
    is_tpu=True,
)


def test_one_that_fits():
    assert FITS.fits and FITS.shortfall == 0
    found = FITS.to_dict()
    assert found["fits"] and found["devices"] == 16
    assert found["memory"]["peak"] == 11 * GIB
    assert (found["memory"]["peak_is"], found["compiler"]) == ("exact", "libtpu")
    (collective,) = found["collectives"]
    assert collective["sent"] == pytest.approx(2 * 15 / 16 * 2e8)
    # 50e9 FLOP a pair, 64 pairs a device, 197e12 FLOP/s
    assert found["roofline"]["compute"] == pytest.approx(64 * 50e9 / 197e12)
    assert found["roofline"]["step"] == FITS.roofline.step
    text = "\n".join(FITS.lines())
    for words in (
        "16 (data 16, fsdp 1, tensor 1), 15.75 GiB a chip",
        "1,024 pairs, 64 a chip",
        "a step does 50 G a pair",
        "peak 11.00 GiB of 15.75 GiB a chip",
        "3 all-reduce over 16: 190.73 MiB, chip sends 357.63 MiB",
        "1 loops of unknown length",
        "limit: HBM",
    ):
        assert words in text, f"{words!r} not in: {text}"


def test_one_that_needs_more_than_there_is():
    small = dataclasses.replace(FITS, topology=parse("v5e:4x4", hbm_gib=8))
    assert not small.fits and small.shortfall == 3 * GIB
    assert small.to_dict()["roofline"] is not None  # it was compiled all the same


@pytest.mark.parametrize("compiled", [None, Compiled(1.0, 1e9, 11 * GIB)])
def test_one_without_a_program(compiled):
    """Too large to be compiled at all, or refused by the compiler."""
    report = dataclasses.replace(FITS, compiled=compiled)
    assert not report.fits and report.roofline is None
    assert report.lines()[-1] == "  memory       at least 11.00 GiB a chip"
    found = report.to_dict()
    assert found["memory"]["peak_is"] == "at least" and found["roofline"] is None
    assert found["memory"]["temporaries"] is None and found["collectives"] == []


def test_the_largest_batch_is_a_report_of_its_own():
    best = dataclasses.replace(FITS, batch_size=512)
    found = dataclasses.replace(FITS, largest_batch=512, at_largest=best).to_dict()
    assert found["largest_batch"] == found["at_largest_batch"]["batch_size"] == 512


def test_bytes_for_people():
    assert [size(n) for n in (0, 3 * 2**20, GIB / 2, 1500 * GIB)] == [
        "0.00 MiB",
        "3.00 MiB",
        "0.50 GiB",
        "1,500.00 GiB",
    ]


def test_questions_beside_pairs_or_alone():
    both = dataclasses.replace(FITS, others={"questions": 256})
    assert "1,024 pairs, 64 a chip; 256 questions" in "\n".join(both.lines())
    assert both.to_dict()["rows"] == {"pairs": 1024, "questions": 256}
    assert FITS.to_dict()["rows"] == {"pairs": 1024}
    alone = "\n".join(dataclasses.replace(FITS, stream="questions").lines())
    assert "pair" not in alone.split("assumed")[0]
    for words in ("1,024 questions, 64 a chip", "G a question", " questions/s"):
        assert words in alone, words
