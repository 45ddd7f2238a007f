"""What a report shows is spread over what was found."""

import numpy as np

from vlp_jax.evaluation.choosing import mixture, spread


def test_half_right_and_half_wrong():
    is_right = np.arange(100) % 10 > 0  # ten wrong ones
    chosen = mixture(is_right, 8)
    assert len(chosen) == 8 and chosen == sorted(chosen)
    assert is_right[chosen].sum() == 4 and max(chosen) >= 70


def test_one_half_fills_up_the_other():
    assert mixture(np.ones(10, bool), 4) == [0, 2, 5, 7]
    few_right = np.arange(10) == 3
    assert len(mixture(few_right, 6)) == 6 and 3 in mixture(few_right, 6)
    assert len(mixture(~few_right, 6)) == 6 and 3 in mixture(~few_right, 6)
    assert mixture(few_right, 50) == list(range(10)) and mixture(few_right, 0) == []


def test_even_distances():
    assert spread(np.arange(5, 15), 3) == [5, 8, 11]
    assert spread(np.arange(2), 3) == [0, 1]
