"""Retrieval with a model that knows the truth, one that guesses, and bad samples."""

import dataclasses

import numpy as np
import pytest

from tests.evaluation.predictors import (
    Able,
    FakePredictor,
    Wrapped,
    random_embedding,
)
from vlp_jax.core.errors import BadSample, ConfigError, RunError
from vlp_jax.core.types import Example
from vlp_jax.evaluation import rankings
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
    monkeypatch.setattr(rankings, "FEW_SCORES", 90 * 450 - 1)
    monkeypatch.setattr(
        rankings,
        "retrieval_ranks_on_devices",
        lambda *given: asked.append(given) or ranks(*given),
    )
    assert Retrieval(scenes, gallery=0).run(guess) == expected and len(asked) == 1


def test_a_limit_of_nothing_is_refused(scenes):
    with pytest.raises(ConfigError, match="limit is 0; expected at least 1"):
        Retrieval(scenes, limit=0)


def knowing_judge(scenes, right=1.0):
    """Embeddings say nothing; the match of a pair is known."""
    captions = [set(scenes[i].captions) for i in range(len(scenes))]
    return Able(
        [scenes[i].image for i in range(len(scenes))],
        batch_size=32,
        embed=lambda meaning: random_embedding(str(meaning)),
        match=lambda number, text: right if text in captions[number] else 0.25,
    )


def test_reranking_finds_what_embeddings_miss(scenes):
    report = Retrieval(scenes, captions_per_image=2, gallery=4, rerank=30).run(
        knowing_judge(scenes)
    )
    found = report.metrics
    assert list(found)[6:] == [f"reranked_{name}" for name in list(found)[:6]]
    assert found["image_retrieval_recall@1"] < 0.1
    # Right answers among the first 30 of 90 pictures (180 texts) are now first.
    assert 0.2 < found["reranked_image_retrieval_recall@1"] < 0.5
    # The others stay behind the 30th place.
    again = [found[f"reranked_image_retrieval_recall@{k}"] for k in (1, 5, 10)]
    assert again[0] == again[1] == again[2]
    assert 0.1 < found["reranked_text_retrieval_recall@1"] < 0.5
    queries = report.details["text_queries"]
    assert {query["reranked"]["rank"] == 1 for query in queries} == {True, False}
    for query in queries:
        again = query["reranked"]
        assert [x["right"] for x in again["answers"]] == [
            n + 1 == again["rank"] for n in range(5)
        ]
    assert all(len(q["reranked"]["answers"]) == 5 for q in report.details["failures"])
    first = report.details["image_queries"][0]["reranked"]
    assert first["rank"] > 1 or first["answers"][0]["right"]


def test_reranking_all_answers_by_a_judge_that_knows_is_perfect(scenes):
    report = Retrieval(scenes, captions_per_image=1, rerank=90).run(
        knowing_judge(scenes)
    )
    values = {name: x for name, x in report.metrics.items() if "reranked" in name}
    assert len(values) == 6 and set(values.values()) == {1.0}
    assert report.details["failures"] == []


def test_a_judge_that_diverged_is_not_scored(scenes):
    with pytest.raises(RunError, match="match probabilities hold NaN"):
        Retrieval(scenes, limit=8, rerank=2).run(knowing_judge(scenes, np.nan))


def test_settings_of_reranking_are_checked(scenes):
    with pytest.raises(ConfigError, match="rerank is -1; expected at least 0"):
        Retrieval(scenes, rerank=-1)
    with pytest.raises(ConfigError, match="did you mean 'match'"):
        Retrieval(scenes, rerank=5, rerank_by="mtch")
