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


def reranked_retrieval():
    """Found second at first; first after re-ranking, or not at all."""
    report = retrieval()
    again = {"rank": 1, "answers": [{"picture": picture(), "right": True}]}
    missed = {"rank": 1234, "answers": [{"caption": EVIL, "right": False}] * 5}
    report.details["text_queries"][0]["reranked"] = again
    report.details["image_queries"][0]["reranked"] = missed
    return report


def matching():
    words = [{"word": EVIL, "heat": np.float32([[0, 1], [0, 0]])}] * 3
    mistake = {"picture": picture(), "caption": EVIL, "fits": True, "kind": EVIL}
    details = {
        "kinds": [{"name": EVIL, "count": 1234, "accuracy": 0.25}],
        "mistakes": [mistake | {"probability": 0.987}],
        "attention": [{"picture": picture(48), "caption": EVIL, "words": words}],
        "skipped": {},
        "samples": 1000,
        "pairs": 6000,
    }
    return Report("image_text_matching", "scenes", {"accuracy": 0.5}, details)


def captioning():
    shown = {"picture": picture(), "caption": EVIL, "references": [EVIL, "a dog"]}
    gallery = [
        shown | {"cider": 1.234, "right": True},
        shown | {"cider": 0.1, "right": False, "caption": ""},
        shown | {"cider": 0.05, "right": None},
    ]
    details = {"gallery": gallery, "skipped": {}, "samples": 5000}
    return Report("captioning", "coco", {"CIDEr": 1.25}, details)


def answering():
    shown = {"picture": picture(), "question": EVIL, "answer": EVIL}
    answers = [{"text": EVIL, "count": 7}, {"text": "dark blue", "count": 1}]
    details = {
        "gallery": [
            shown | {"answers": answers, "accuracy": 1},
            shown | {"answers": answers, "accuracy": 0.0, "answer": ""},
        ],
        "kinds": [{"name": f"{EVIL}{n}", "count": 1, "accuracy": 1} for n in range(99)],
        "skipped": {},
        "samples": 10,
        "questions": 2345,
    }
    return Report("vqa", "vqa_v2", {"vqa_accuracy": 0.75}, details)


LANGUAGE = (reranked_retrieval, matching, captioning, answering)


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
    reports = [classification(5), retrieval(), *(make() for make in LANGUAGE)]
    source = page(reports, {EVIL: curve})
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


def test_a_second_ranking_stands_below_the_first(page):
    parsed = Page(page([reranked_retrieval()]))
    assert parsed.count("div", "answers") == 3  # two of the query, one of the failure
    words = " ".join(" ".join(parsed.words).split())
    assert "its picture came 2 of 5,000 re-ranked: found first" in words
    assert "their order by how well each matches" in words
    assert "The best of them came 1,234 of 25,000." in words
    assert parsed.count("ol") == 2
    assert "re-ranked" not in page([retrieval()])


def test_matching_draws_kinds_mistakes_and_heat(page):
    source = page([matching()])
    parsed = Page(source)
    assert "1,000 images, 6,000 texts" in source and "99%" in source
    assert "a right caption" in source and "1,234" in source
    assert parsed.count("figure", "word") == 3
    shown = [x["src"] for tag, x in parsed.elements if tag == "img"]
    assert len(shown) == 5 and all(x.startswith("data:image/png") for x in shown)
    assert shown[1] == shown[2] != shown[0]


def test_captions_stand_beside_those_of_people(page):
    source = page([captioning()])
    parsed = Page(source)
    assert parsed.count("p", "caption written right") == 1
    assert parsed.count("p", "caption written wrong") == 1
    assert parsed.count("p", "caption written") == 1
    assert parsed.count("li") == 6 and "CIDEr 1.23" in source
    assert "(nothing)" in source and "5,000 images" in source


def test_answers_stand_beside_the_right_ones(page):
    source = page([answering()])
    parsed = Page(source)
    assert parsed.count("b", "yes") == 1 and parsed.count("b", "no") == 1
    words = " ".join(" ".join(parsed.words).split())
    assert words.count("dark blue") == 1  # only where the answer is wrong
    assert "(7)" in words and "(1)" not in words and "(nothing)" in words
    assert "10 images, 2,345 questions" in source
    assert parsed.count("tr") == 1 + 1 + 40  # a metric, the head, the commonest kinds


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
    source = page([Report("detection", "scenes", {"ap": 1.25})])
    assert "detection" in source and "1.250" in source


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
