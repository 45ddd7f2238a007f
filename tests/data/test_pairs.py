"""A picture with one of its captions."""

from collections import Counter

import numpy as np
import pytest

from tests.data.numbered import LENGTH, Numbers, prepare, samples, tokenize
from vlp_jax.core.errors import BAD_SAMPLE_CAUSES, RunError
from vlp_jax.core.types import Example
from vlp_jax.data.order import Order
from vlp_jax.data.pairs import PairSamples, choose_caption

# ---- captions


def drawn(weights: tuple[float, ...], count: int = 3000) -> list[float]:
    """How often each of three captions is chosen."""
    example = Example(b"", ("a", "b", "c"), weights)
    rng = np.random.default_rng(0)
    found = Counter(choose_caption(example, rng) for _ in range(count))
    return [found[text] / count for text in "abc"]


@pytest.mark.parametrize(
    ("weights", "shares"),
    [
        ((), (1 / 3, 1 / 3, 1 / 3)),
        ((1, 1, 1), (1 / 3, 1 / 3, 1 / 3)),
        ((0.5, 1.5, 3.0), (0.1, 0.3, 0.6)),  # they need not sum to 1
    ],
)
def test_captions_are_drawn_by_their_weights(weights, shares):
    assert drawn(weights) == pytest.approx(shares, abs=0.03)


@pytest.mark.parametrize(
    ("weights", "shares"), [((0, 0, 7), [0, 0, 1]), ((2, 0, 0), [1, 0, 0])]
)
def test_a_caption_without_weight_is_never_drawn(weights, shares):
    assert drawn(weights) == shares


@pytest.mark.parametrize(("draw", "caption"), [(0.0, "b"), (0.4999, "b"), (0.5, "c")])
def test_where_one_caption_ends_and_the_next_begins(draw, caption):
    class Fixed:
        def random(self):
            return draw

    assert choose_caption(Example(b"", ("a", "b", "c"), (0, 2, 2)), Fixed()) == caption


# ---- samples


def test_a_sample_is_a_picture_with_one_of_its_captions():
    found = samples()[7]
    index = int(found["sample_id"])
    assert {key: (value.shape, value.dtype.name) for key, value in found.items()} == {
        "image": ((4, 4, 3), "uint8"),
        "text_tokens": ((LENGTH,), "int32"),
        "text_mask": ((LENGTH,), "bool"),
        "valid": ((), "bool"),
        "sample_id": ((), "int32"),
        "bad": ((len(BAD_SAMPLE_CAUSES),), "int32"),
    }
    assert index == samples().order(7) and found["valid"] and not found["bad"].any()
    text = "".join(map(chr, found["text_tokens"][found["text_mask"]]))
    assert text in (f"{index} a", f"{index} b")
    assert index <= found["image"].min() and found["image"].max() < index + 50


def test_a_sample_without_captions_is_bad():
    class Silent(Numbers):
        def __getitem__(self, index):
            return Example(np.zeros((4, 4, 3), np.uint8), name="silent one")

    found = PairSamples(Silent(4), Order(4, 0), prepare, tokenize, 0)
    with pytest.raises(RunError, match="caption_missing: silent one"):
        found[0]
