"""The embedded data: pure, split cleanly, and right in everything they say."""

import hashlib
from collections import Counter

import numpy as np
import pytest

from vlp_jax.core.errors import ConfigError
from vlp_jax.data.questions import questions_of
from vlp_jax.data.sources.digit_scenes import DigitScenes, scans_by_digit
from vlp_jax.data.sources.scene import COLOURS, Scene


def scenes_of(source: DigitScenes) -> list[Scene]:
    return [source.scene(index) for index in range(len(source))]


def assert_equal(one, other):
    np.testing.assert_array_equal(one.image, other.image)
    assert one.captions == other.captions and one.questions == other.questions
    assert one.negatives == other.negatives
    assert (one.label, one.name) == (other.label, other.name)
    for a, b in zip(one.regions, other.regions, strict=True):
        assert (a.box, a.label) == (b.box, b.label)
        np.testing.assert_array_equal(a.mask, b.mask)


# ---- a pure function of (split, index)


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("counts", [(1, 2, 3), (1,)])
def test_an_example_depends_on_split_and_index_alone(split, counts):
    one = DigitScenes(split=split, size=40, digit_counts=counts)
    other = DigitScenes(split=split, size=60, digit_counts=list(counts))
    for index in reversed(range(40)):
        assert_equal(other[index], one[index])
    assert_equal(one[7], one[7])


def test_examples_of_the_splits_and_indices_differ():
    found = [
        DigitScenes(split=split, size=50)[index].image.tobytes()
        for split in ("train", "test")
        for index in range(50)
    ]
    assert len(set(found)) == 100


def test_the_canvas_changes_the_picture_and_not_what_it_shows():
    small, large = DigitScenes(canvas=24), DigitScenes(canvas=96)
    for index in range(20):
        assert small.scene(index) == large.scene(index)
        assert small[index].image.shape == (24, 24, 3)
        assert large[index].image.shape == (96, 96, 3)
        assert large[index].image.dtype == np.uint8


# Of the first version: whatever is added, pictures and captions stay what they were,
# to the bit, or models and scores could not be compared any more.
DIGESTS = {
    "train": ({}, "0a0e011e55195f9c"),
    "test": ({"split": "test", "size": 500}, "d5d2f17a9ad70342"),
    "single": ({"digit_counts": (1,), "canvas": 24}, "cf91361bc9dd0f15"),
}


@pytest.mark.parametrize("name", DIGESTS)
def test_scenes_are_those_of_the_first_version(name):
    settings, expected = DIGESTS[name]
    source, found = DigitScenes(**settings), hashlib.sha256()
    for example in map(source.__getitem__, range(60)):
        boxes = [region.box for region in example.regions]
        said = example.captions, example.questions, example.label, example.name, boxes
        found.update(example.image.tobytes() + repr(said).encode())
    assert found.hexdigest()[:16] == expected


# ---- train and test


def test_no_scan_is_in_both_splits():
    train, test = scans_by_digit("train"), scans_by_digit("test")
    assert sum(map(len, train)) + sum(map(len, test)) == 1797
    for digit in range(10):
        assert len(test[digit]) >= 30
        seen = {scan.tobytes() for scan in train[digit]}
        assert not [scan for scan in test[digit] if scan.tobytes() in seen]


def test_no_combination_of_the_test_split_occurs_in_training():
    trained = set(scenes_of(DigitScenes(split="train", size=5000)))
    trained |= set(scenes_of(DigitScenes(split="train", size=2000, digit_counts=(1,))))
    for counts in ((1, 2, 3), (1,), (2,)):
        held_out = scenes_of(DigitScenes(split="test", size=500, digit_counts=counts))
        assert not trained & set(held_out)


def test_training_shows_every_single_digit_combination_but_the_held_out_ones():
    """Each digit is seen in most colours and sizes: there is something to compose."""
    alone = set(scenes_of(DigitScenes(split="train", size=5000, digit_counts=(1,))))
    held_out = set(scenes_of(DigitScenes(split="test", size=500, digit_counts=(1,))))
    assert len(alone | held_out) == 10 * len(COLOURS) * 2
    digits = Counter(scene.digits[0].digit for scene in alone)
    assert min(digits.values()) >= len(COLOURS)


# ---- 500 test scenes


def test_the_test_scenes_are_distinct(test_split):
    assert len(set(scenes_of(test_split))) == 500


def test_every_digit_occurs_in_single_digit_test_scenes():
    source = DigitScenes(split="test", size=500, digit_counts=(1,))
    labels = [source[index].label for index in range(500)]
    assert set(labels) == set(range(10))
    assert min(Counter(labels).values()) >= 15
    names = "zero one two three four five six seven eight nine"
    assert " ".join(source.class_names) == names
    assert all(labels[i] == source.scene(i).digits[0].digit for i in range(500))


# ---- what an example says about itself


def test_labels_are_those_of_single_digits(examples):
    assert {len(scene.digits) for scene, _ in examples} == {1, 2, 3}
    for scene, example in examples:
        alone = len(scene.digits) == 1
        assert example.label == (scene.digits[0].digit if alone else None)
        assert (scene.relation == "alone") == alone


def test_a_box_a_class_and_a_mask_for_every_digit(examples):
    for scene, example in examples:
        height, width = example.image.shape[:2]
        assert [r.label for r in example.regions] == [d.digit for d in scene.digits]
        for region in example.regions:
            x0, y0, x1, y1 = region.box
            assert 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height
            assert region.mask.shape == (height, width) and region.mask.any()
            inside = np.zeros_like(region.mask)
            inside[y0:y1, x0:x1] = True
            assert not (region.mask & ~inside).any()


def test_boxes_stand_as_the_relation_says(examples):
    for scene, example in examples:
        axis = {"row": 0, "column": 1, "alone": 0}[scene.relation]
        boxes = np.array([region.box for region in example.regions])
        steps = np.diff((boxes[:, :2] + boxes[:, 2:]) / 2, axis=0)  # between centres
        assert (steps[:, axis] > abs(steps[:, 1 - axis])).all()


def test_big_digits_are_bigger(examples):
    sides = {"small": set(), "big": set()}
    for scene, example in examples:
        for digit, region in zip(scene.digits, example.regions, strict=True):
            sides[digit.size].add(region.box[2] - region.box[0])
    assert max(sides["small"]) < min(sides["big"])


def test_digits_stand_out_in_their_colour(examples):
    """The painted pixels are nearer to their colour than the canvas is."""
    for scene, example in examples:
        image = example.image.astype(float)
        canvas = image[~np.any([r.mask for r in example.regions], axis=0)].mean(0)
        for digit, region in zip(scene.digits, example.regions, strict=True):
            colour = np.array(COLOURS[digit.colour])
            painted = image[region.mask].mean(0)
            assert np.linalg.norm(painted - colour) < np.linalg.norm(canvas - colour)


def test_questions_without_pictures(examples, monkeypatch):
    source = DigitScenes(split="test", size=20)
    expected = [source[index].questions for index in range(20)]
    monkeypatch.setattr(DigitScenes, "__getitem__", None)
    assert [questions_of(source, index) for index in range(20)] == expected


def test_captions_are_checked_against_their_own_scene(test_split):
    for index in range(50):
        example, other = test_split[index], test_split[(index + 1) % 50]
        assert all(test_split.check_caption(index, x) for x in example.captions)
        assert not test_split.check_caption(index, other.captions[0] + " and a two")
        wrong = dict(zip(example.negative_kinds, example.negatives, strict=True))
        assert not test_split.check_caption(index, wrong["digit"])
        assert not test_split.check_caption(index, wrong["colour"])


def most_frequent(source: DigitScenes) -> dict[str, Counter]:
    """{question: how often each answer is right}."""
    found: dict[str, Counter] = {}
    for index in range(len(source)):
        for question in source.questions(index):
            found.setdefault(question.text, Counter()).update(question.answers)
    return found


def test_priors_answer_few_questions(test_split):
    """Always the answer that training has most often for the question."""
    trained, asked = most_frequent(DigitScenes(size=3000)), most_frequent(test_split)
    right = {q: n[trained[q].most_common(1)[0][0]] for q, n in asked.items()}
    assert 0.25 < sum(right.values()) / sum(n.total() for n in asked.values()) < 0.3
    colours = [q for q in asked if q.startswith("what colour")]
    share = sum(right[q] for q in colours) / sum(asked[q].total() for q in colours)
    assert share < 0.15


# ---- wrong settings


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"split": "trian"}, "unknown split of digit_scenes 'trian'.*'train'"),
        ({"size": 0}, "size is 0"),
        ({"canvas": 8}, "canvas is 8"),
    ],
)
def test_wrong_settings_are_explained(settings, said):
    with pytest.raises(ConfigError, match=said):
        DigitScenes(**settings)


def test_a_digit_count_that_does_not_exist():
    with pytest.raises(ConfigError, match="unknown digit count.* 4; known: 1, 2, 3"):
        DigitScenes(digit_counts=(4,))


def test_digit_scenes_that_do_not_exist():
    with pytest.raises(ConfigError, match="has only .* different scenes"):
        DigitScenes("test", size=60_000, digit_counts=(2,))
    with pytest.raises(ConfigError, match="no digit_counts"):
        DigitScenes(digit_counts=())
    repeated = DigitScenes("test", size=40, digit_counts=(1, 1))
    assert repeated.digit_counts == (1,) and len(repeated) == 40
