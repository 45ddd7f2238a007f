"""The HTML report is one safe, self-contained file, whatever is put into it."""

import numpy as np
import pytest

from tests.core.parsed_page import EVIL, Page, picture
from vlp_jax.core.types import Report
from vlp_jax.evaluation.comparison import Comparison
from vlp_jax.evaluation.report import write_report


def classification(classes):
    names = tuple(f"{EVIL}{i}" for i in range(classes))
    truth = np.arange(classes).repeat(3)
    guess = np.where(np.arange(len(truth)) % 4 == 1, (truth + 1) % classes, truth)
    details = {
        "class_names": names,
        "truth": truth,
        "guess": guess,
        "failures": [
            {"picture": picture(), "truth": EVIL, "guess": EVIL, "confidence": 0.9}
        ],
        "skipped": {EVIL: 2},
        "samples": len(truth),
    }
    metrics = {"acc1": 0.75, "acc5": float("nan")}
    return Report("zeroshot_classification", EVIL, metrics, details)


def retrieval():
    answers = [{"picture": picture(), "right": i == 1} for i in range(5)]
    captions = [{"caption": EVIL, "right": False} for _ in range(5)]
    query = {"caption": EVIL, "picture": picture(), "rank": 2, "answers": answers}
    missed = {"caption": EVIL, "picture": picture(100), "rank": 9, "answers": captions}
    details = {
        "text_queries": [query],
        "image_queries": [missed],
        "failures": [query | {"rank": 1234}],
        "skipped": {},
        "images": 5000,
        "texts": 25000,
    }
    return Report(
        "zeroshot_retrieval", "pairs", {"image_retrieval_recall@1": 0}, details
    )


@pytest.fixture
def page(tmp_path):
    def write(reports, curves=None, facts=None):
        path = tmp_path / "deep" / "report.html"
        write_report(path, EVIL, reports, curves or {}, facts or {EVIL: EVIL})
        return path.read_text(encoding="utf-8")

    return write


@pytest.mark.fault("F20")
def test_texts_are_escaped_and_nothing_is_loaded(page):
    curve = [(step, 1 / (step + 1)) for step in range(100)]
    source = page([classification(5), retrieval()], {EVIL: curve})
    parsed = Page(source)
    assert source.startswith("<!DOCTYPE html>")
    assert "<script" not in source and parsed.count("script") == 0
    assert EVIL in "".join(parsed.words)
    assert "http" not in source and "@import" not in source and "url(" not in source
    for tag, attributes in parsed.elements:
        assert tag not in {"link", "iframe", "object", "embed"}
        assert not any(name.startswith("on") for name in attributes)
        assert attributes.get("src", "data:image/").startswith("data:image/")
        assert attributes.get("href", "#").startswith("#")


def test_a_report_draws_every_part(page):
    curves = {"loss": [(0, 2.0), (10, 1.0)], "diverged": [(0, float("nan"))]}
    source = page([classification(5), retrieval()], curves)
    parsed = Page(source)
    assert parsed.count("svg") == 1  # the curve without a finite value is left out
    assert parsed.count("td", "right") + parsed.count("td", "right strong") == 5
    assert parsed.count("figure", "right") == 2  # one right answer in two text queries
    assert parsed.count("figure", "wanted") == 1  # only where it is not among the five
    assert "1,234 of 5,000" in source and "9 of 25,000" in source
    assert "data:image/png" in source and "data:image/jpeg" in source
    assert "Skipped" in source and "–" in source  # the dash of acc5


def test_many_classes_show_pairs_instead_of_a_matrix(page):
    source = page([classification(120)])
    assert 'class="matrix' not in source and source.count("<td>&lt;script") == 60


def test_classes_of_several_a_picture_the_worst_first(page):
    details = {
        "class_names": ("a", EVIL, "c"),
        "average_precision": np.array([0.75, np.nan, 0.25]),
        "positives": np.array([1200, 0, 7]),
        "skipped": {},
        "samples": 9000,
    }
    metrics = {"mean_average_precision": 0.5}
    source = page([Report("zeroshot_classification", "voc", metrics, details)])
    assert "9,000 images, 3 classes" in source and "1,200" in source
    assert source.index("0.250") < source.index("0.750") and "nan" not in source


def test_a_task_without_a_drawing_shows_its_metrics(page):
    source = page([Report("captioning", "scenes", {"cider": 1.25})])
    assert "captioning" in source and "1.250" in source


def test_results_beside_others(tmp_path):
    rows = {(EVIL, "task", "acc1"): [0.5, 0.75], ("x", "task", "acc5"): [None, 0.25]}
    found = Comparison((EVIL, "b"), rows)
    path = tmp_path / "comparison.html"
    write_report(path, "Comparison", (), {}, {}, found)
    source = path.read_text()
    assert "<script" not in source and "<b>0.7500</b>" in source
    assert "<b>0.2500</b>" not in source and "–" in source
    assert Page(source).count("td") == 6 + 4


def test_an_empty_report_is_a_page(page):
    Page(page([]))
