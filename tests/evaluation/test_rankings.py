"""Retrieval in two stages: which pairs are matched, and what becomes of the ranks."""

import numpy as np
import pytest

from tests.evaluation.predictors import Able, plain
from vlp_jax.evaluation import rankings
from vlp_jax.evaluation.rankings import SCORES, Rankings, Reranking

IMAGES, TEXTS, K = 23, 60, 7


def unit(rng, *shape):
    found = rng.normal(size=shape).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def given():
    """Rankings that are often wrong, and how well each pair matches."""
    rng = np.random.default_rng(0)
    images, texts = unit(rng, IMAGES, 8), unit(rng, TEXTS, 8)
    owner = np.sort(rng.integers(0, IMAGES, TEXTS))
    texts = texts + 0.7 * images[owner]
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    match = np.float32(0.01 + 0.98 * rng.random((IMAGES, TEXTS)))
    return Rankings(images, texts, owner), match


def judge(match, batch_size):
    return Able(
        [plain(n) for n in range(IMAGES)],
        batch_size,
        match=lambda number, text: match[number, int(text)],
    )


def rerank(given, k=K, by="match", batch_size=5):
    found, match = given
    predictor = judge(match, batch_size)
    again = Reranking(found, k, SCORES[by])
    again.run(
        predictor,
        lambda numbers: np.stack([plain(n) for n in numbers]),
        [str(n) for n in range(TEXTS)],
    )
    return again, predictor


def expected_ranks(scores, owner, new_score):
    """Row by row: the first K by the scores, sorted by the new score."""
    ranks = []
    for query in range(len(scores)):
        order = sorted(range(scores.shape[1]), key=lambda x: (-scores[query, x], x))
        first = sorted(order[:K], key=lambda x: -new_score(query, x))
        order = first + order[K:]
        ranks.append(next(n for n, x in enumerate(order) if owner(query, x)))
    return ranks


@pytest.mark.parametrize("by", SCORES)
@pytest.mark.parametrize("batch_size", [5, 64])
def test_ranks_are_those_of_the_definition(given, by, batch_size):
    found, match = given
    again, predictor = rerank(given, by=by, batch_size=batch_size)
    scores = found.texts.astype(np.float64) @ found.images.T

    def new(image, text):
        p = float(match[image, text])
        return p if by == "match" else np.log(p / (1 - p)) + scores[text, image]

    owner = found.text_image
    assert again.of_text.tolist() == expected_ranks(
        scores, lambda t, i: owner[t] == i, lambda t, i: new(i, t)
    )
    has = np.isin(np.arange(IMAGES), owner)
    of_image = [
        expected_ranks(
            scores.T[[i]],
            lambda _, t, i=i: owner[t] == i,
            lambda _, t, i=i: new(i, t),
        )[0]
        for i in np.flatnonzero(has)
    ]
    assert again.of_image[has].tolist() == of_image
    assert not np.array_equal(again.of_text, found.of_text)
    assert max(predictor.asked["tokens"]) <= batch_size
    assert sum(predictor.asked["tokens"]) == IMAGES  # once each


def test_each_pair_is_matched_once_whoever_asks(given):
    found, _ = given
    again, predictor = rerank(given)
    wanted = {(i, t) for t, row in enumerate(again.images.index) for i in row}
    wanted |= {(i, t) for i, row in enumerate(again.texts.index) for t in row}
    assert sum(predictor.asked["match"]) == len(wanted) < K * (IMAGES + TEXTS)


def test_the_first_answers_stay_who_they_are(given):
    again, _ = rerank(given)
    for before, after in (
        (again.images.index, again.first_images),
        (again.texts.index, again.first_texts),
    ):
        assert np.array_equal(np.sort(before, axis=1), np.sort(after, axis=1))
        assert not np.array_equal(before, after)


def test_more_answers_than_there_are(given):
    found, match = given
    again, _ = rerank(given, k=1000)
    assert again.first_images.shape == (TEXTS, IMAGES)
    best = match.argmax(axis=0)
    assert again.first_images[:, 0].tolist() == best.tolist()


def test_a_model_that_finds_all_alike_changes_nothing(given):
    found, match = given
    again, _ = rerank((found, np.full_like(match, 0.5)))
    assert np.array_equal(again.of_text, found.of_text)
    assert np.array_equal(again.of_image, found.of_image)


def test_many_scores_are_searched_by_the_devices(given, monkeypatch):
    found, _ = given
    few = rerank(given)[0]
    monkeypatch.setattr(rankings, "FEW_SCORES", 0)
    many = Rankings(found.images, found.texts, found.text_image)
    again, _ = rerank((many, given[1]))
    assert np.array_equal(many.of_text, found.of_text)
    assert np.array_equal(again.images.index, few.images.index)
    assert np.array_equal(again.of_image, few.of_image)


def test_sure_matches_are_told_apart_by_the_cosine():
    match, cosine = np.float32([[1, 1, 0]]), np.float32([[0.1, 0.2, 0.9]])
    found = SCORES["match_and_cosine"](match, cosine)
    assert np.isfinite(found).all() and found.argmax() == 1 and found.argmin() == 2
