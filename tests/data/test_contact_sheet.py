"""The contact sheet shows a source in one safe file that needs nothing else."""

import json

import numpy as np
import pytest
from PIL import Image

from benchmarks.pictures import encode
from tests.core.parsed_page import EVIL, Page
from tests.data.surveyed import GOOD, Listed, survey
from vlp_jax.core.types import Example
from vlp_jax.data import check, contact_sheet


@pytest.mark.fault("F20")
def test_the_contact_sheet_escapes_and_needs_nothing_else(tmp_path):
    facts = {"loader alone": EVIL}
    data, page = contact_sheet.write_sheet(
        tmp_path, EVIL, {EVIL: survey(), "two": survey()}, facts
    )
    source = page.read_text()
    found = Page(source)
    assert "script" not in {tag for tag, _ in found.elements}
    assert "".join(found.words).count(EVIL) >= 6  # title, facts, name, caption, bad
    pictures = [a["src"] for tag, a in found.elements if tag == "img"]
    assert len(pictures) == 8
    assert all(src.startswith("data:image/") for src in pictures)
    links = {a for _, attributes in found.elements for a in attributes}
    assert not links & {"href", "srcset", "onclick"} and "http" not in source
    assert "x" * 300 in source and "x" * 301 not in source
    assert json.loads(data.read_text())["sources"]["two"]["usable"] == 4


def test_bad_samples_are_shown_with_their_causes(tmp_path):
    many = Listed([Example(b"", ("x",), name=f"{i}.jpg") for i in range(100)])
    found = survey(source=many)
    _, page = contact_sheet.write_sheet(tmp_path, "t", {"data": found}, {})
    assert page.read_text().count('<td class="no">image_empty') == check.BAD_SHOWN
    assert found.numbers()["bad samples"]["image_empty"]["count"] == 100
    assert found.numbers()["distributions"] == {}
    assert any("0 of 100 samples" in line for line in contact_sheet.lines(found))


def test_a_large_picture_becomes_a_thumbnail(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (900, 700, 3), np.uint8)
    large = Listed([Example(encode(Image.fromarray(noise)), ("noise",))])
    contact_sheet.write_sheet(tmp_path, "t", {"data": survey(source=large)}, {})
    assert (tmp_path / "contact_sheet.html").stat().st_size < 60_000


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (7.0, "7"), (4 / 3, "1.33"), (99.5, "99.50"), (1234.5, "1,234")],
)
def test_numbers_are_short(value, text):
    assert contact_sheet.plain(value) == text


def test_what_the_terminal_is_told():
    twice = [Example(GOOD, ("a dog",), name=name) for name in ("1.jpg", "2.jpg")]
    bad = Example(b"", ("nothing",), name="3.jpg")
    size = len(GOOD)
    assert list(contact_sheet.lines(survey(source=Listed([*twice, bad])))) == [
        "2 of 3 samples can be used",
        "1 image_empty: 3.jpg",
        "short side:           min 60, median 60, p95 60, max 60",
        "width / height:       min 1.33, median 1.33, p95 1.33, max 1.33",
        f"bytes:                min {size}, median {size}, p95 {size}, max {size}",
        "captions a sample:    min 1, median 1, p95 1, max 1",
        "characters a caption: min 5, median 5, p95 5, max 5",
        "0.0 MB of pictures",
        "1 pictures are copies of others; 2.jpg = 1.jpg",
        "1 of 2 captions are repeated",
    ]


def test_the_highest_bar_is_as_high_as_the_chart(tmp_path):
    sizes = [Example(np.zeros((n, n, 3), np.uint8), ("x",)) for n in (8, 8, 8, 32)]
    source = Listed(sizes)
    _, page = contact_sheet.write_sheet(tmp_path, "t", {"s": survey(source=source)}, {})
    bars = [a for tag, a in Page(page.read_text()).elements if tag == "i"]
    sides = [bar["style"] for bar in bars[: check.BARS]]  # the first chart's
    assert sides == ["--share: 1.0", *["--share: 0.0"] * 22, "--share: 0.3333"]
    assert bars[0]["title"].startswith("8 to ") and bars[0]["title"].endswith(": 3")
