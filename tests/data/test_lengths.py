"""Cutting shared padding: which length, and that nothing but padding goes."""

import numpy as np
import pytest

from vlp_jax.core.errors import ConfigError
from vlp_jax.data.lengths import check_lengths, cut, longest_text


def batch(*lengths: int, size: int = 16) -> dict:
    mask = np.arange(size) < np.array(lengths)[:, None]
    tokens = np.where(mask, 1 + np.arange(size), 0).astype(np.int32)
    image = np.zeros((len(lengths), 4, 4, 3), np.uint8)
    return {"image": image, "text_tokens": tokens, "text_mask": mask}


@pytest.mark.parametrize(
    ("longest", "expected"), [(1, 4), (4, 4), (5, 8), (8, 8), (9, 16), (16, 16)]
)
def test_a_batch_is_cut_to_the_first_length_that_holds_it(longest, expected):
    lengths = check_lengths((8, 4), 16)
    given = batch(longest, 1)
    found = cut(given, longest_text(given), lengths)
    assert found["text_tokens"].shape == found["text_mask"].shape == (2, expected)
    assert found["image"] is given["image"]
    assert found["text_mask"].sum() == longest + 1  # no word is lost
    assert not given["text_tokens"][:, expected:].any()


@pytest.mark.parametrize("lengths", [(0,), (17,), (4.5,), ("8",)])
def test_lengths_that_make_no_sense(lengths):
    with pytest.raises(ConfigError, match="data.text_lengths has .*2 to .* = 16"):
        check_lengths(lengths, 16)
    assert check_lengths((), 16) == (16,)
