"""Our metrics, prompts and class names beside clip_benchmark 1.6.2 itself.

torch.topk and torch.sort leave the order of equal scores open, and use that freedom (of
twenty zeros the first five are 12, 14, 13, 15, 11). So clip_benchmark has a digit where
every order of equal scores gives the same one; there ours is that digit.
"""

import json

import numpy as np
import pytest

from benchmarks.peers.side import Side
from vlp_jax.data.class_names import class_sets
from vlp_jax.data.sources.clip_benchmark import ClipBenchmark
from vlp_jax.evaluation import prompts
from vlp_jax.evaluation.metrics import classification, retrieval
from vlp_jax.evaluation.metrics.average_precision import (
    average_precision,
    mean_average_precision,
)
from vlp_jax.evaluation.metrics.ranking import first_hit_ranks, top_k
from vlp_jax.evaluation.metrics.selection import selection_accuracy

MODULE = "tests.peers.clip_benchmark_side"
RECALL_AT = (1, 5, 10)
pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def theirs(peers, tmp_path_factory):
    """(what, arrays) -> what clip_benchmark finds."""
    folder = tmp_path_factory.mktemp("clip_benchmark")
    with Side(peers, MODULE, {"folder": str(folder)}) as side:

        def ask(what: str, **arrays) -> dict:
            np.savez(folder / "arrays.npz", **arrays)
            return side.ask(what)

        ask.folder = folder
        yield ask


def unit(rng, *shape) -> np.ndarray:
    vectors = rng.normal(size=shape).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def corners(rng, *shape) -> np.ndarray:
    """Unit vectors of 4 or 16 equal sizes: products are exact, and often tie."""
    return rng.choice(np.float32([-1, 1]), shape) / np.float32(shape[-1] ** 0.5)


def pairs(rng, make, images: int, texts: int, width: int):
    owners = np.concatenate(
        [np.arange(images), rng.integers(0, images, texts - images)]
    )
    return dict(
        images=make(rng, images, width),
        texts=make(rng, texts, width),
        text_image=np.sort(owners),
    )


def recalls(images, texts, text_image) -> dict[str, float]:
    of_text = retrieval.image_retrieval_ranks(images, texts, text_image)
    of_image = retrieval.text_retrieval_ranks(images, texts, text_image)
    return {
        f"{direction}_retrieval_recall@{k}": retrieval.recall_at_k(ranks, k)
        for direction, ranks in (("image", of_text), ("text", of_image))
        for k in RECALL_AT
    }


def test_recalls_without_ties(theirs):
    given = pairs(np.random.default_rng(0), unit, 41, 113, 32)
    expected = theirs("retrieval", recall_at=RECALL_AT, **given)
    assert recalls(**given) == pytest.approx(expected, abs=1e-6)
    assert 0 < expected["text_retrieval_recall@5"] < 1


def tied(rng, queries: int, keys: int, wrong_only: bool):
    """Scores of few values; with `wrong_only` no right answer equals a wrong one."""
    scores = 2 * rng.integers(0, 4, (queries, keys)).astype(np.float32)
    is_hit = np.zeros((queries, keys), bool)
    is_hit[np.arange(queries), rng.integers(0, keys, queries)] = True
    is_hit |= rng.random((queries, keys)) < 0.03
    return scores + is_hit if wrong_only else scores, is_hit


def ranks_of(scores: np.ndarray, is_hit: np.ndarray) -> np.ndarray:
    """Ours, one row at a time: the keys are unit vectors, so that scores are exact."""
    keys = np.eye(scores.shape[1], dtype=np.float32)
    one = np.ones(1, np.int64)
    rows = zip(scores, is_hit, strict=True)
    return np.concatenate(
        [first_hit_ranks(s[None], keys, one, hit.astype(np.int64)) for s, hit in rows]
    )


def test_recalls_where_wrong_answers_tie(theirs):
    """Every order of them gives the same digits."""
    scores, is_hit = tied(np.random.default_rng(1), 200, 60, wrong_only=True)
    expected = theirs("hits", scores=scores, is_hit=is_hit, recall_at=RECALL_AT)
    ranks = ranks_of(scores, is_hit)
    assert len(np.unique(scores[0])) < 10
    for k in RECALL_AT:
        assert (ranks < k).tolist() == expected[str(k)]
        assert 0 < np.mean(expected[str(k)]) < 1


def test_recalls_where_right_and_wrong_answers_tie(theirs):
    """Equal wherever no order could change it; elsewhere ours goes by the index."""
    scores, is_hit = tied(np.random.default_rng(2), 400, 60, wrong_only=False)
    expected = theirs("hits", scores=scores, is_hit=is_hit, recall_at=RECALL_AT)
    best = np.where(is_hit, scores, -np.inf).max(axis=1, keepdims=True)
    before = (scores > best).sum(axis=1)
    equal_and_wrong = ((scores == best) & ~is_hit).sum(axis=1)
    ranks = ranks_of(scores, is_hit)
    assert np.all((before <= ranks) & (ranks <= before + equal_and_wrong))
    for k in RECALL_AT:
        defined = (before >= k) | (before + equal_and_wrong < k)
        found, there = ranks < k, np.array(expected[str(k)])
        assert (found == there)[defined].all()
        assert defined.any() and not defined.all()


def test_whole_evaluations_with_ties_stay_within_what_any_order_gives(theirs):
    given = pairs(np.random.default_rng(3), corners, 40, 120, 16)
    expected = theirs("retrieval", recall_at=RECALL_AT, **given)
    scores = given["texts"] @ given["images"].T
    is_hit = given["text_image"][:, None] == np.arange(40)
    ours = recalls(**given)
    for direction, s, hit in (("image", scores, is_hit), ("text", scores.T, is_hit.T)):
        best = np.where(hit, s, -np.inf).max(axis=1, keepdims=True)
        before = (s > best).sum(axis=1)
        last = before + ((s == best) & ~hit).sum(axis=1)
        for k in RECALL_AT:
            for found in (ours, expected):
                value = found[f"{direction}_retrieval_recall@{k}"]
                assert (last < k).mean() - 1e-6 <= value <= (before < k).mean() + 1e-6


@pytest.mark.parametrize("classes", [3, 12])
def test_accuracies(theirs, classes):
    rng = np.random.default_rng(classes)
    scores, _ = tied(rng, 150, classes, wrong_only=False)
    truth = rng.integers(0, classes, 150)
    scores[np.arange(150), truth] += 1  # the truth ties with nothing
    scores /= np.linalg.norm(scores, axis=1, keepdims=True)
    eye = np.eye(classes, dtype=np.float32)
    expected = theirs("classification", images=scores, truth=truth, classes=eye)
    ranking = top_k(scores, 5)
    assert classification.accuracy_at_k(ranking, truth, 1) == pytest.approx(
        expected["acc1"], abs=1e-6
    )
    assert classification.mean_per_class_recall(ranking[:, 0], truth) == pytest.approx(
        expected["mean_per_class_recall"], abs=1e-6
    )
    if classes < 5:
        assert np.isnan(expected["acc5"])
    else:
        found = classification.accuracy_at_k(ranking, truth, 5)
        assert found == pytest.approx(expected["acc5"], abs=1e-6) and found < 1


def test_recall_of_classes_takes_the_first_of_equal_scores_as_theirs(theirs):
    rng = np.random.default_rng(4)
    images, truth = corners(rng, 200, 16), rng.integers(0, 8, 200)
    names = corners(rng, 8, 16)
    expected = theirs("classification", images=images, truth=truth, classes=names)
    guess = top_k(images @ names.T, 1)[:, 0]
    found = classification.mean_per_class_recall(guess, truth)
    assert found == pytest.approx(expected["mean_per_class_recall"], abs=1e-6)


def test_average_precision(theirs):
    rng = np.random.default_rng(5)
    images, classes = unit(rng, 90, 16), unit(rng, 6, 16)
    truth = rng.random((90, 6)) < 0.3
    expected = theirs(
        "classification", images=images, truth=truth.astype(np.float32), classes=classes
    )
    found = mean_average_precision(average_precision(images @ classes.T, truth))
    assert found == pytest.approx(expected["mean_average_precision"], abs=1e-6)


@pytest.mark.parametrize("images", [1, 2])
def test_selection_ties_included(theirs, images):
    rng = np.random.default_rng(6)
    given = dict(images=corners(rng, 200, images, 4), texts=corners(rng, 200, 2, 4))
    expected = theirs("selection", **given)
    scores = given["images"] @ given["texts"].transpose(0, 2, 1)
    assert (scores[:, 0, 0] == scores[:, 0, 1]).mean() > 0.2
    assert selection_accuracy(scores) == pytest.approx(expected, abs=1e-6)


def test_its_exports_are_read(theirs, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    theirs("export")
    read = {
        kind: ClipBenchmark(str(theirs.folder / kind))
        for kind in ("classification", "multilabel", "retrieval")
    }
    for kind, source in read.items():
        assert source.type == kind and len(source) == 3 and len(source.blocks) == 2
        assert source[0].image.startswith(b"\x89PNG")
    for kind in ("classification", "multilabel"):
        assert read[kind].class_names == ("cat", "dog")
        assert read[kind].templates == ("a {}", "{}s")
    assert [read["classification"][i].label for i in range(3)] == [0, 1, 1]
    assert [read["multilabel"][i].labels for i in range(3)] == [(0,), (), (0, 1)]
    assert [read["retrieval"][i].captions for i in range(3)] == [
        ("a cat", "", "black"),
        (),
        (" two", "of  them", "e\u0301"),
    ]


RENAMED = {"flowers102": "flowers", "imagenet": "imagenet1k"}
# It takes their class names from the files of the datasets (test_class_names.py).
FROM_FILES = {
    "cars",
    "cifar10",
    "cifar100",
    "dtd",
    "fgvc_aircraft",
    "food101",
    "renderedsst2",
    "resisc45",
    "stl10",
    "sun397",
}


def test_class_names_letter_by_letter(theirs):
    names, compared = theirs("words")["names"], set()
    for ours, classes in class_sets().items():
        known = names.get(RENAMED.get(ours, ours))
        if known is not None:
            assert list(classes) == known, ours
            compared.add(ours)
    assert set(class_sets()) - compared == FROM_FILES
    assert names["open_clip"] == names["imagenet1k"]


def test_templates_letter_by_letter(theirs):
    known = theirs("words")["templates"]
    sets = {name: name for name in json.loads(prompts.TEMPLATES.read_text())}
    ours_alone = {"photo", "digit_scenes", "openai_resisc45"}
    sets |= {"flowers102": "flowers", "openai_imagenet80": "imagenet1k"}
    sets |= {"openai_simple7": "SIMPLE"}
    assert len(sets) == 3 + 23
    for ours in set(sets) - ours_alone:
        found = [template.replace("{}", "{c}") for template in prompts.templates(ours)]
        assert found == known[sets[ours]], ours
    assert known["OPENAI"] == known["imagenet1k"]
