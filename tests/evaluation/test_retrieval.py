"""Retrieval with a model that knows the truth, one that guesses, and bad samples."""

import dataclasses

import numpy as np
import pytest

from tests.evaluation.predictors import FakePredictor, Wrapped, random_embedding
from vlp_jax.core.errors import BadSample, ConfigError, RunError
from vlp_jax.core.types import Example
from vlp_jax.evaluation import retrieval
from vlp_jax.evaluation.device_ranks import retrieval_ranks_on_devices
from vlp_jax.evaluation.retrieval import Retrieval


def perfect_retriever(source):
    examples = [source[i] for i in range(len(source))]
    pictures = {e.image.tobytes(): e.captions[0] for e in examples}
    meanings = {c: i for i, e in enumerate(examples) for c in e.captions}
    size = len(examples)
    return FakePredictor(
        lambda caption: np.eye(size, dtype=np.float32)[meanings[caption]], pictures
    )


def test_captions_find_their_images(scenes):
    report = Retrieval(scenes, gallery=6).run(perfect_retriever(scenes))
    assert report.task == "zeroshot_retrieval"
    assert len(report.metrics) == 6 and set(report.metrics.values()) == {1.0}
    assert (report.details["images"], report.details["texts"]) == (90, 450)
    assert report.details["failures"] == []
    for query in report.details["text_queries"] + report.details["image_queries"]:
        assert query["rank"] == 1 and query["answers"][0]["right"]
    right = [a["right"] for a in report.details["image_queries"][0]["answers"]]
    assert right == [True] * 5


def test_guessing_retrieves_by_chance(scenes):
    report = Retrieval(scenes, captions_per_image=1).run(
        FakePredictor(random_embedding)
    )
    assert report.details["texts"] == 90
    for direction in ("image", "text"):
        assert report.metrics[f"{direction}_retrieval_recall@1"] < 0.06
        assert 0.03 < report.metrics[f"{direction}_retrieval_recall@10"] < 0.25
    worst = report.details["failures"]
    assert worst[0]["rank"] >= worst[-1]["rank"] > 10 and len(worst) == 12
    gallery = report.details["text_queries"]
    assert len(gallery) == 12 and len(gallery[0]["answers"]) == 5
    for query in gallery:
        shown = [answer["right"] for answer in query["answers"]]
        place = query["rank"]
        assert shown == [i + 1 == place for i in range(5)]


def test_bad_samples_are_skipped_and_counted(scenes):
    image, bad = scenes[0].image, BadSample("image_missing")
    replaced = {
        3: bad,
        10: bad,
        11: Example(b"\xff\xd8", ("cut off",)),
        89: Example(image),
    }
    report = Retrieval(Wrapped(scenes, replaced)).run(perfect_retriever(scenes))
    assert report.details["skipped"] == {
        "image_missing": 2,
        "image_truncated": 1,
        "caption_missing": 1,
    }
    assert report.details["images"] == 86 and report.details["texts"] == 430
    assert report.metrics["text_retrieval_recall@1"] == 1.0


def test_pictures_without_a_caption_are_misses_where_the_source_says_so(scenes):
    """As in clip_benchmark; their texts are missing from no other picture's recall."""
    bare = {i: dataclasses.replace(scenes[i], captions=()) for i in range(0, 90, 3)}
    source = Wrapped(scenes, bare)
    source.counts_uncaptioned = True
    report = Retrieval(source, gallery=90).run(perfect_retriever(scenes))
    assert report.details["skipped"] == {} and report.details["images"] == 90
    assert report.metrics["text_retrieval_recall@10"] == pytest.approx(2 / 3)
    assert report.metrics["image_retrieval_recall@1"] == 1.0
    shown = [query["caption"] for query in report.details["image_queries"]]
    assert shown.count("") == 30 and shown[0] == ""
    source.replaced = {i: bare[0] for i in range(90)}
    with pytest.raises(RunError, match="nothing to rank: .* has no caption"):
        Retrieval(source).run(perfect_retriever(scenes))


def test_many_scores_are_ranked_by_the_devices(scenes, monkeypatch):
    guess = FakePredictor(random_embedding)
    expected = Retrieval(scenes, gallery=0).run(guess)
    asked = []
    ranks = retrieval_ranks_on_devices
    monkeypatch.setattr(retrieval, "FEW_SCORES", 90 * 450 - 1)
    monkeypatch.setattr(
        retrieval,
        "retrieval_ranks_on_devices",
        lambda *given: asked.append(given) or ranks(*given),
    )
    assert Retrieval(scenes, gallery=0).run(guess) == expected and len(asked) == 1


def test_a_limit_of_nothing_is_refused(scenes):
    with pytest.raises(ConfigError, match="limit is 0; expected at least 1"):
        Retrieval(scenes, limit=0)
