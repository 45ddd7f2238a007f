"""What data_check finds in a folder whose every picture is known."""

import json

import numpy as np
import pytest
from PIL import Image

from benchmarks.pictures import encode
from tests.evaluation.test_report import EVIL, Page
from vlp_jax.core.errors import BadSample
from vlp_jax.core.types import Example
from vlp_jax.data import check, contact_sheet
from vlp_jax.feed import plain_samples

GOOD = encode(np.full((60, 80, 3), 90, np.uint8))
OTHER = encode(np.full((300, 150, 3), 40, np.uint8))
SAMPLES = [
    Example(GOOD, ("a dog", "ein Hund"), name="1.jpg"),
    Example(OTHER, ("a dog",), name="2.jpg"),
    Example(GOOD, ("another dog",), name="copy of 1.jpg"),
    Example(GOOD[:300], ("half a dog",), name=f"{EVIL}.jpg"),
    Example(np.zeros((8, 8, 3), np.uint8), (EVIL, "x" * 5000), name="evil.png"),
    Example(GOOD, (), name="mute.jpg"),
    BadSample("image_missing", "no 7.jpg"),
    Example(b"<html>", ("a page",), name="8.jpg"),
]


class Listed:
    """The samples above, in memory."""

    name, class_names, fingerprint = "listed", (), {}
    dropped = {"caption_missing": 3}

    def __init__(self, samples=SAMPLES):
        self.samples = samples

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index: int) -> Example:
        if isinstance(self.samples[index], BadSample):
            raise self.samples[index]
        return self.samples[index]


def survey(threads=2, source=None, count_tokens=None) -> check.Survey:
    source = source or Listed()
    found = check.walk(source, range(len(source)), threads, count_tokens)
    return check.Survey(source).add_all(found)


def words(texts):
    return [len(text.split()) for text in texts]


def test_numbers_of_a_known_source():
    found = survey(count_tokens=words).numbers()
    assert (found["samples"], found["walked"], found["usable"]) == (8, 8, 4)
    assert found["left out when opened"] == {"caption_missing": 3}
    assert found["bad samples"] == {
        "image_truncated": {"count": 1, "some": [f"{EVIL}.jpg"]},
        "caption_missing": {"count": 1, "some": ["mute.jpg"]},
        "image_missing": {"count": 1, "some": ["sample 6"]},
        "image_unreadable": {"count": 1, "some": ["8.jpg"]},
    }
    told = found["distributions"]
    assert told["short side"]["min"] == 8 and told["short side"]["max"] == 150
    assert told["short side"]["median"] == 60
    assert told["width / height"]["min"] == 0.5
    assert told["characters a caption"]["max"] == 5000
    assert told["tokens a caption"]["max"] == 2
    assert found["total bytes"] == 2 * len(GOOD) + len(OTHER) + 8 * 8 * 3
    assert found["copies of pictures"] == {
        "count": 1,
        "some": [("copy of 1.jpg", "1.jpg")],
    }
    assert (found["captions"], found["repeated captions"]) == (6, 1)


def test_threads_change_nothing():
    many = Listed(SAMPLES * 50)
    expected = survey(1, many).numbers()
    assert expected["walked"] == 400 and expected["copies of pictures"]["count"] == 197
    assert survey(4, many).numbers() == expected


def test_samples_are_spread_evenly():
    assert check.spread(10, None).tolist() == list(range(10))
    assert check.spread(5, 9).tolist() == list(range(5))
    assert check.spread(101, 3).tolist() == [0, 50, 100]


def test_a_histogram_counts_everything_once():
    bars = check.histogram([1, 2, 2, 3, *[4] * 100, 10_000])
    assert len(bars) == check.BARS and sum(n for _, _, n in bars) == 105
    assert bars[0][0] == 1 and bars[-1][1] < 10_000
    assert sum(n for _, _, n in check.histogram([7.0])) == 1


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


def test_questions_and_labels_say_something_too():
    labelled = Listed([Example(GOOD, (), label=3)])
    assert survey(source=labelled).numbers()["usable"] == 1


def test_the_speed_of_the_loader(monkeypatch):
    monkeypatch.setattr(check, "SPEED_SECONDS", 0.1)
    good = Listed([Example(GOOD, ("a dog",))] * 3)
    assert check.loader_speed(plain_samples(good), 2, 0).endswith("/s, 2 threads")
    bad = Listed([Example(b"", ("a dog",))] * 3)
    said = check.loader_speed(plain_samples(bad), 2, 0)
    assert "8 samples in a row cannot be used" in said


def test_a_large_picture_becomes_a_thumbnail(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (900, 700, 3), np.uint8)
    large = Listed([Example(encode(Image.fromarray(noise)), ("noise",))])
    contact_sheet.write_sheet(tmp_path, "t", {"data": survey(source=large)}, {})
    assert (tmp_path / "contact_sheet.html").stat().st_size < 60_000
