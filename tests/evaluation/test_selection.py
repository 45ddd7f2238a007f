"""Hard negatives and pairs of captions, with a model whose scores are known."""

import numpy as np
import pytest

from tests.evaluation.predictors import FakePredictor, Samples, plain, random_embedding
from vlp_jax.core.errors import BadSample, ConfigError, RunError
from vlp_jax.core.types import Example
from vlp_jax.evaluation.selection import HardNegatives, Winoground


def sample(number: int, caption: str, *negatives: str) -> Example:
    return Example(plain(number), captions=(caption,), negatives=negatives)


def at_angles(**degrees) -> FakePredictor:
    """Embeds a text on the unit circle; picture k lies at 10 k degrees."""
    pictures = {plain(k).tobytes(): f"p{k}" for k in range(9)}
    degrees |= {f"p{k}": 10 * k for k in range(9)}

    def embed(meaning):
        angle = np.deg2rad(degrees[meaning])
        return np.array([np.cos(angle), np.sin(angle)], np.float32)

    return FakePredictor(embed, pictures, batch_size=2)


def test_a_caption_against_one_negative_or_several():
    source = Samples(
        sample(0, "at0", "at90"),  # right
        sample(1, "at90", "at0"),  # wrong
        sample(1, "at0", "at90", "at5"),  # at5 is nearer
        sample(0, "at0", "at90", "at5"),  # right against both
        sample(0, "at0", "also0"),  # a tie
    )
    report = HardNegatives(source).run(at_angles(at0=0, at5=5, at90=90, also0=0))
    assert (report.task, report.dataset) == ("image_caption_selection", "samples")
    assert report.metrics == pytest.approx(
        {"image_acc": 1.0, "text_acc": 0.6, "acc": 0.6, "text_score": 0.4}
    )
    assert report.details == {"skipped": {}, "samples": 5}


def test_samples_without_a_negative_are_skipped():
    source = Samples(
        sample(0, "at0", "at90"), sample(0, "at0"), BadSample("image_empty")
    )
    report = HardNegatives(source).run(at_angles(at0=0, at90=90))
    assert report.details["samples"] == 1
    assert report.details["skipped"] == {"caption_missing": 1, "image_empty": 1}


def pair(first: int, second: int, one: str = "one", other: str = "other") -> tuple:
    return sample(first, one, other), sample(second, other, one)


def test_pairs_of_pictures_and_captions():
    """Captions at 0 and 50 degrees."""
    source = Samples(
        *pair(0, 5),  # all right
        *pair(3, 5),  # 'one' lies nearer to 30 than to 50, but 30 is nearer to 'other'
        *pair(5, 0),  # all wrong
        BadSample("image_missing"),
        sample(5, "other", "one"),
    )
    report = Winoground(source).run(at_angles(one=0, other=50))
    third = pytest.approx(1 / 3)
    assert report.metrics == {
        "image_score": pytest.approx(2 / 3),
        "text_score": third,
        "group_score": third,
        "image_acc": pytest.approx(2 / 3),
        "text_acc": third,
        "acc": third,
    }
    assert report.details["samples"] == 6
    assert report.details["skipped"] == {"image_missing": 1, "pair_incomplete": 1}
    assert Winoground(source, limit=3).run(at_angles(one=0, other=50)).details == {
        "samples": 2,
        "skipped": {"pair_incomplete": 1},
    }


def test_guessing_is_right_by_chance():
    """A sixth of the pairs by group, a quarter by text (arXiv:2204.03162)."""
    halves = [
        half
        for k in range(300)
        for half in (
            Example(
                np.full((2, 2, 3), k % 256, np.uint8) + np.uint8(k > 255),
                captions=(f"a{k}",),
                negatives=(f"b{k}",),
            ),
            Example(
                np.full((2, 2, 3), 7 * k % 256, np.uint8),
                captions=(f"b{k}",),
                negatives=(f"a{k}",),
            ),
        )
    ]
    report = Winoground(Samples(*halves)).run(FakePredictor(random_embedding))
    assert abs(report.metrics["text_score"] - 1 / 4) < 0.07
    assert abs(report.metrics["group_score"] - 1 / 6) < 0.07


def test_what_is_no_pair():
    three = at_angles(one=0, other=50, third=70)
    with pytest.raises(ConfigError, match="needs pairs .* 'hard_negatives'"):
        Winoground(Samples(*pair(0, 1)[:1], sample(1, "third", "one"))).run(three)
    with pytest.raises(RunError, match="no pair of which both can be used"):
        Winoground(Samples(pair(0, 1)[0], BadSample("image_empty"))).run(three)
    with pytest.raises(ConfigError, match="limit is 1; expected at least 2"):
        Winoground(Samples(*pair(0, 1)), limit=1)
