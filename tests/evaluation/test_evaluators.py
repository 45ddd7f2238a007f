"""Evaluators with a model that knows the truth, one that guesses, and bad samples."""

import json
import zlib

import numpy as np
import pytest

from vlp_jax.core.errors import BadSample, ConfigError, RunError
from vlp_jax.core.types import Example, Report
from vlp_jax.data.sources.digit_scenes import DigitScenes
from vlp_jax.evaluation import EVALUATORS
from vlp_jax.evaluation.prompts import templates
from vlp_jax.evaluation.reading import Reader
from vlp_jax.evaluation.results import table, write_results
from vlp_jax.evaluation.retrieval import Retrieval
from vlp_jax.evaluation.zero_shot import ZeroShot, class_weights


class FakePredictor:
    """Embeds texts, and pictures by what `pictures` says they mean (or their bytes)."""

    def __init__(self, embed, pictures=None, batch_size=256):
        self.embed, self.pictures = embed, pictures or {}
        self.batch_size = batch_size
        self.batch_sizes = []

    def prepare_image(self, image):
        if isinstance(image, bytes):
            raise BadSample("image_truncated")
        return image

    def encode_image(self, pictures):
        assert pictures.dtype == np.uint8 and pictures.shape[3] == 3
        self.batch_sizes.append(len(pictures))
        meanings = [self.pictures.get(p.tobytes(), p.tobytes()) for p in pictures]
        return np.stack([self.embed(meaning) for meaning in meanings])

    def encode_text(self, texts):
        return np.stack([self.embed(text) for text in texts])


def random_embedding(meaning):
    raw = meaning if isinstance(meaning, bytes) else meaning.encode()
    vector = np.random.default_rng(zlib.crc32(raw)).normal(size=64).astype(np.float32)
    return vector / np.linalg.norm(vector)


def knows(meanings):
    """An embedding that is the one-hot index of the first key the text contains."""

    def embed(meaning):
        hit = next(i for key, i in meanings.items() if key in meaning)
        return np.eye(max(meanings.values()) + 1, dtype=np.float32)[hit]

    return embed


class Wrapped:
    """A source whose samples at some indices are replaced, or raise."""

    def __init__(self, source, replaced, class_names=None):
        self.source, self.replaced = source, replaced
        self.name = "wrapped"
        self.class_names = source.class_names if class_names is None else class_names

    def __len__(self):
        return len(self.source)

    def __getitem__(self, index):
        sample = self.replaced.get(index) or self.source[index]
        if isinstance(sample, Exception):
            raise sample
        return sample


@pytest.fixture(scope="module")
def digits():
    return DigitScenes("test", size=300, digit_counts=(1,))


@pytest.fixture(scope="module")
def scenes():
    return DigitScenes("test", size=90)


def perfect_classifier(source):
    names = source.class_names
    pictures = {
        e.image.tobytes(): names[e.label] for e in map(source.__getitem__, range(300))
    }
    return FakePredictor(knows({name: i for i, name in enumerate(names)}), pictures)


def perfect_retriever(source):
    examples = [source[i] for i in range(len(source))]
    pictures = {e.image.tobytes(): e.captions[0] for e in examples}
    meanings = {c: i for i, e in enumerate(examples) for c in e.captions}
    size = len(examples)
    return FakePredictor(
        lambda caption: np.eye(size, dtype=np.float32)[meanings[caption]], pictures
    )


def test_truth_is_classified_perfectly(digits):
    predictor = perfect_classifier(digits)
    predictor.batch_size = 128
    report = ZeroShot(digits, templates="digit_scenes").run(predictor)
    assert report.task == "zeroshot_classification"
    assert report.metrics == {"acc1": 1.0, "acc5": 1.0, "mean_per_class_recall": 1.0}
    assert report.details["failures"] == []
    assert report.details["skipped"] == {}
    assert predictor.batch_sizes == [128, 128, 44]


def test_guessing_classifies_by_chance(digits):
    report = ZeroShot(digits, templates=("a {}",)).run(FakePredictor(random_embedding))
    assert 0.03 < report.metrics["acc1"] < 0.2
    assert 0.38 < report.metrics["acc5"] < 0.62
    failures = report.details["failures"]
    assert len(failures) == 24
    sure = [failure["confidence"] for failure in failures]
    assert sure == sorted(sure, reverse=True) and 0 < sure[-1] < sure[0] <= 1
    assert all(f["truth"] != f["guess"] for f in failures)
    assert failures[0]["picture"].shape == (48, 48, 3)


def test_templates_are_averaged_as_unit_vectors(digits):
    vectors = {"x": [1.0, 0.0], "y": [0.0, 1.0]}
    predictor = FakePredictor(lambda text: np.float32(vectors[text[-1]]))
    evaluator = ZeroShot(digits, templates=("{}x", "{}y", "{}y"))
    weights = class_weights(predictor, ["a"], evaluator.templates)
    np.testing.assert_allclose(weights, [[1 / 5**0.5, 2 / 5**0.5]], rtol=1e-6)


def test_acc5_needs_five_classes(digits):
    few = Wrapped(
        digits,
        {i: Example(digits[i].image, label=i % 3) for i in range(9)},
        class_names=("a", "b", "c"),
    )
    report = ZeroShot(few, limit=9).run(FakePredictor(random_embedding))
    assert np.isnan(report.metrics["acc5"]) and report.details["samples"] == 9


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


def test_only_bad_samples_is_an_error_that_says_so(digits):
    broken = Wrapped(digits, {i: BadSample("image_missing") for i in range(300)})
    with pytest.raises(RunError, match=r"none of the 300 .* \(300 image_missing\)"):
        ZeroShot(broken).run(FakePredictor(random_embedding))


def test_chunks_are_full_whatever_is_skipped(digits):
    source = Wrapped(digits, {i: BadSample("image_missing") for i in (0, 5, 6)})
    reader = Reader(source, FakePredictor(random_embedding, batch_size=4), limit=13)
    assert [chunk.indices for chunk in reader] == [
        [1, 2, 3, 4],
        [7, 8, 9, 10],
        [11, 12],
    ]


@pytest.mark.parametrize("evaluator", [ZeroShot, Retrieval])
def test_a_model_that_diverged_is_not_scored(evaluator, digits):
    nan = FakePredictor(lambda meaning: np.full(4, np.nan, np.float32))
    with pytest.raises(RunError, match="NaN"):
        evaluator(digits, limit=5).run(nan)


def test_wrong_settings_are_refused_with_a_hint(digits, scenes):
    with pytest.raises(ConfigError, match="did you mean 'openai_simple7'"):
        ZeroShot(digits, templates="openai_simple")
    with pytest.raises(ConfigError, match="has no '{}'"):
        ZeroShot(digits, templates=("a photo",))
    with pytest.raises(ConfigError, match="limit is 0; expected at least 1"):
        Retrieval(digits, limit=0)
    with pytest.raises(ConfigError, match="needs names for the classes"):
        ZeroShot(Wrapped(digits, {}, class_names=()))
    with pytest.raises(ConfigError, match="needs a label in 0..9 .* has None"):
        ZeroShot(scenes).run(FakePredictor(random_embedding))


def test_template_sets_fit_the_embedded_data():
    assert set(EVALUATORS) == {"zero_shot", "retrieval"}
    assert templates("photo") == ("a photo of a {}",)
    assert len(templates("openai_simple7")) == 7
    assert "a small red {}" in templates("digit_scenes")
    assert templates(["{}!"]) == ("{}!",)


def test_results_are_clip_benchmarks_json(tmp_path):
    metrics = {"acc1": np.float32(0.5), "acc5": float("nan")}
    report = Report("zeroshot_classification", "digit_scenes/test", metrics)
    paths = write_results(tmp_path / "new", [report, report], "vit_b16", "step 10")
    assert [path.name for path in paths] == [
        "digit_scenes-test_zeroshot_classification.json",
        "digit_scenes-test_zeroshot_classification-2.json",
    ]
    assert json.loads(paths[0].read_text()) == {
        "dataset": "digit_scenes/test",
        "model": "vit_b16",
        "pretrained": "step 10",
        "task": "zeroshot_classification",
        "metrics": {"acc1": 0.5, "acc5": None},
        "language": "en",
    }
    assert len(list(paths[0].parent.iterdir())) == 2  # no temporary file stays
    assert table([report]).row_count == 2
