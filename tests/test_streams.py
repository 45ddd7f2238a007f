"""What a run with questions reads, beside pairs or alone."""

import itertools

import jax
import numpy as np
import pytest

from tests.end_to_end import tiny_albef
from tests.learns_questions import Agreement, asking
from tests.recipes import tiny
from vlp_jax import build, objectives, recipe
from vlp_jax.core.errors import ConfigError
from vlp_jax.data.sources.digit_scenes import DigitScenes
from vlp_jax.data.sources.scene_words import NUMBERS
from vlp_jax.feed import Feed
from vlp_jax.streams import Streams, describe_bad, open_data, open_one

ANSWERS = {*"0123456789", "yes", "no", "small", "big"} | {
    *("red", "green", "blue", "yellow", "purple", "cyan", "pink", "white")
}


@pytest.fixture(autouse=True)
def objective(monkeypatch):
    monkeypatch.setitem(objectives.OBJECTIVES, "agreement", Agreement)


@pytest.fixture(scope="module")
def both(module_monkeypatch) -> tuple:
    """(streams, their samples, the tokenizer) of a run that reads both."""
    config = asking()
    streams = Streams(config)
    tokenizer = build.make_tokenizer(config, streams.texts(64))
    preprocessing = build.make_preprocessing(config)
    return streams, streams.samples(preprocessing, tokenizer, ("yes", "2")), tokenizer


@pytest.fixture(scope="module")
def module_monkeypatch():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(objectives.OBJECTIVES, "agreement", Agreement)
        yield patch


def first_batches(streams, samples, count: int, first_step: int = 0) -> list:
    mesh = jax.make_mesh((8, 1, 1), ("data", "fsdp", "tensor"))
    found = streams.batches(samples, mesh, first_step)
    try:
        return list(itertools.islice(found, count))
    finally:
        found.close()


def test_the_arrays_of_a_batch(both):
    streams, samples, tokenizer = both
    (batch,) = first_batches(streams, samples, 1)
    assert {
        name: {key: (x.shape, x.dtype.name) for key, x in arrays.items()}
        for name, arrays in batch.arrays.items()
    } == {
        "pairs": {
            "image": ((16, 24, 24, 3), "uint8"),
            "text_tokens": ((16, 24), "int32"),
            "text_mask": ((16, 24), "bool"),
            "valid": ((16,), "bool"),
            "sample_id": ((16,), "int32"),
        },
        "questions": {
            "image": ((8, 24, 24, 3), "uint8"),
            "text_tokens": ((8, 20), "int32"),
            "text_mask": ((8, 20), "bool"),
            "answer_tokens": ((8, 7), "int32"),
            "answer_mask": ((8, 7), "bool"),
            "answer_labels": ((8, 10), "int32"),
            "answer_scores": ((8, 10), "float32"),
            "valid": ((8,), "bool"),
            "sample_id": ((8,), "int32"),
        },
    }
    asked = batch.arrays["questions"]
    source = streams.sources["questions"]
    answers = tokenizer.decode(asked["answer_tokens"])
    texts = tokenizer.decode(asked["text_tokens"])
    rows = zip(asked["sample_id"], texts, answers, strict=True)
    for row, (index, question, answer) in enumerate(rows):
        known = {q.text: q.answers[0] for q in source[int(index)].questions}
        words = dict(zip(NUMBERS, "0123456789", strict=True))
        assert answer == words.get(known[question], known[question])
        labels = {"yes": 0, "2": 1}
        assert asked["answer_labels"][row, 0] == labels.get(answer, -1)
        assert asked["answer_scores"][row, 0] == (answer in labels)


def test_a_stream_is_read_as_if_it_were_alone(both):
    streams, samples, _ = both
    together = first_batches(streams, samples, 3, first_step=2)
    config = asking(pairs=False)
    config.questions.batch_size = 8
    alone = first_batches(Streams(config), samples, 3, first_step=2)
    for one, other in zip(together, alone, strict=True):
        assert set(other.arrays) == {"questions"}
        jax.tree.map(
            np.testing.assert_array_equal,
            one.arrays["questions"],
            other.arrays["questions"],
        )


def test_streams_see_the_same_source_in_different_orders():
    config = asking(questions__train__size=512)
    pairs, questions = Feed(config), Feed(config, "questions")
    first = [[feed.order(k) for k in range(512)] for feed in (pairs, questions)]
    assert sorted(first[0]) == sorted(first[1]) == list(range(512))
    assert sum(a == b for a, b in zip(*first, strict=True)) < 8
    assert pairs.seed == 0 and pairs.order == Feed(tiny()).order  # as it always was


def test_sizes_and_passes():
    streams = Streams(asking())
    assert streams.sizes == {"pairs": 16, "questions": 8} and streams.pass_size == 512
    assert streams.steps(40) == (
        "40 steps of 16 pairs (1.2 passes over the data) and 8 questions (1.6 passes "
        "over the data)"
    )
    assert Streams(asking(questions__batch_size=None)).sizes["questions"] == 16
    alone = Streams(asking(pairs=False))
    assert alone.sizes == {"questions": 8} and alone.pass_size == 200
    assert (
        Streams(tiny()).steps(64) == "64 steps of 16 pairs (2.0 passes over the data)"
    )


def test_what_is_said_of_the_streams():
    learned = {"agreement": ["questions"], "contrastive": ["pairs"]}
    assert Streams(tiny()).lines(learned) == ["digit_scenes/train, 512 samples"]
    assert Streams(asking()).lines(learned) == [
        "pairs: digit_scenes/train, 512 samples",
        "questions: digit_scenes/train, 200 samples",
    ]
    assert Streams(asking()).lines({"contrastive": ["pairs"]})[1] == (
        "questions: digit_scenes/train, 200 samples (no objective learns from them)"
    )


def test_a_mixture_of_questions():
    config = asking(pairs=False)
    config.questions.train.kind = None
    for name, size in (("a", 20), ("b", 30)):
        config.questions.mixture[name] = recipe.mixed("digit_scenes", size=size)
    streams = Streams(config)
    assert list(streams.sources["questions"].sources) == ["a", "b"]
    assert streams.pass_size == 50
    config.questions.mixture.a.weight = -1.0
    with pytest.raises(ConfigError, match="questions.mixture.a.weight is -1.0; exp"):
        Streams(config)


def test_the_fingerprint_is_that_of_pairs_where_there_are_no_others():
    plain, both = Streams(tiny()).fingerprint, Streams(asking()).fingerprint
    assert plain == Feed(tiny()).fingerprint
    assert both["samples"] == 712
    more = {k: v for k, v in both["parts"].items() if k not in plain["parts"]}
    assert set(more) == {"questions:train", "questions:order"}
    assert plain["parts"].items() < both["parts"].items()


def test_contrasts_beside_pairs(both):
    _, _, tokenizer = both
    config = tiny_albef.get_config()
    streams = Streams(config)
    samples = streams.samples(build.make_preprocessing(config), tokenizer, ())
    (batch,) = first_batches(streams, samples, 1)
    found = batch.arrays["contrasts"]
    assert found["fits"].shape == (8,) and found["image"].shape == (8, 24, 24, 3)
    source = streams.sources["contrasts"]
    texts = tokenizer.decode(found["text_tokens"])
    for index, text, fits in zip(found["sample_id"], texts, found["fits"], strict=True):
        assert (text == source[int(index)].captions[0]) == fits
    assert streams.sizes == {"pairs": 16, "contrasts": 8} and streams.classes() == ()
    assert {"contrasts:train", "contrasts:order"} < set(streams.fingerprint["parts"])
    assert set(source[199].negatives) < set(streams.texts(64))


# ---- answers that are classes


def test_the_most_frequent_answers_are_classes():
    streams = Streams(asking())
    classes = streams.classes()
    assert set(classes) == ANSWERS
    assert classes[0] == "big" and classes == Streams(asking()).classes()
    assert Streams(asking(questions__answer_count=3)).classes() == classes[:3]
    assert Streams(tiny()).classes() == ()


def test_questions_are_counted_without_their_pictures(monkeypatch):
    monkeypatch.setattr(DigitScenes, "__getitem__", None)
    assert len(Streams(asking()).classes()) == len(ANSWERS)


def test_classes_of_a_file(tmp_path):
    (tmp_path / "list.txt").write_text("no\nTwo\nred\n")
    config = asking(questions__answers=str(tmp_path / "list.txt"))
    assert Streams(config).classes() == ("no", "2", "red")


# ---- texts


def test_a_tokenizer_is_trained_on_captions_questions_and_answers():
    texts = list(Streams(asking()).texts(2))
    assert len([text for text in texts if " left " in text or "picture" in text])
    assert "is there a big digit?" in texts and "yes" in texts
    captions = list(Streams(tiny()).texts(2))
    assert texts[: len(captions)] == captions and len(captions) == 10
    assert len(list(Streams(asking(pairs=False)).texts(2))) == len(texts) - 10


# ---- bad samples and looks at data


def test_bad_samples_of_all_streams_are_named(both):
    _, samples, _ = both
    assert describe_bad(samples) == ""
    samples["questions"].remember_bad("question_missing", "7.jpg")
    samples["pairs"].remember_bad("image_empty", "8.jpg")
    assert describe_bad(samples) == "image_empty: 8.jpg; question_missing: 7.jpg"
    for one in samples.values():
        one.bad_names.clear()


def test_a_look_at_the_data_of_a_run_with_questions():
    sources, samples, count = open_data(asking())
    assert {name: len(x) for name, x in sources.items()} == {
        "train": 512,
        "questions.train": 200,
    }
    assert "answer_tokens" not in samples[0]
    assert count(["is there a big digit?"])[0] > 3
    config = asking(pairs=False, tokenizer__path="/gone")
    sources, samples, count = open_data(config)
    assert list(sources) == ["questions.train"] and count is None
    assert samples[0]["answer_tokens"].shape == (1,)


def test_a_look_at_a_dataset_with_but_questions(monkeypatch):
    class Silent(DigitScenes):
        def __getitem__(self, index):
            return (
                super()
                .__getitem__(index)
                .__class__(
                    super().__getitem__(index).image, questions=self.questions(index)
                )
            )

    monkeypatch.setitem(recipe.SOURCES, "silent", Silent)
    _, samples, _ = open_data(recipe.dataset("silent", size=9))
    assert samples[0]["answer_labels"].tolist() == [-1] * 10
    _, samples, _ = open_data(recipe.dataset("digit_scenes", size=9))
    assert "answer_labels" not in samples[0]


def test_the_one_source_of_a_dataset_or_a_recipe():
    scenes = {"size": 30, "canvas": 24}
    source, told = open_one(recipe.dataset("digit_scenes", **scenes), "prepare")
    assert len(source) == 30 and told["canvas"] == 24 and told["kind"] == "digit_scenes"
    source, told = open_one(tiny(), "prepare")
    assert len(source) == 512 and told["size"] == 512 and told["weight"] is None
    mixed = tiny()
    mixed.data.mixture.more = recipe.mixed("digit_scenes", **scenes)
    with pytest.raises(ConfigError, match=r"sources \(more\); prepare takes one"):
        open_one(mixed, "prepare")


def labelled(**settings):
    """A run of pictures of one digit with their classes, and of a table of texts."""
    config = tiny(data__train__kind=None, **settings)
    config.labels.train.update(
        kind="digit_scenes", size=40, canvas=24, digit_counts=(1,)
    )
    return config


def test_classes_are_those_of_the_source_or_of_the_config(tmp_path):
    table = tmp_path / "a.csv"
    table.write_text("text,label\n" + "".join(f"t {n},{n}\n" for n in NUMBERS))
    assert Streams(labelled()).class_names() == NUMBERS
    assert Streams(tiny()).class_names() is None
    names = tuple("abcdefghij")
    assert Streams(labelled(class_names=names)).class_names() == names
    both = labelled(texts__train__kind="text_table", texts__train__root=str(table))
    with pytest.raises(ConfigError, match="texts has 10; read sources with"):
        Streams(both).class_names()  # by the alphabet: eight, five, ...
    both.texts.train.class_names = NUMBERS
    streams = Streams(both)
    assert streams.class_names() == NUMBERS and streams.sizes["texts"] == 16
    both.class_names = streams.class_names()
    tokenizer = build.make_tokenizer(both, streams.texts(20))
    found = streams.samples(build.make_preprocessing(both), tokenizer, ())
    assert {"image", "label"} <= found["labels"][0].keys()
    assert "image" not in found["texts"][0] and found["texts"][0]["label"] < 10


def test_classes_that_do_not_fit_each_other(tmp_path):
    with pytest.raises(ConfigError, match="class_names has 2, labels has 10; read"):
        Streams(labelled(class_names=("a", "b"))).class_names()
    same = labelled(labels__mixture={"more": recipe.mixed("digit_scenes", size=9)})
    assert Streams(same).class_names() == NUMBERS
    table = tmp_path / "a.csv"
    table.write_text("text,label\na,b\n")
    more = recipe.mixed("text_table", root=str(table))
    config = labelled(labels__mixture={"more": more})
    with pytest.raises(ConfigError, match="names no classes; give a source that does"):
        Streams(config).class_names()
    config.labels.shots = 2
    with pytest.raises(ConfigError, match="labels.shots takes its examples from one"):
        Streams(config)
