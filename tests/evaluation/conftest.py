"""Digits to classify and scenes to find, read once a file."""

import pytest

from vlp_jax.data.sources.digit_scenes import DigitScenes


@pytest.fixture(scope="module")
def digits():
    return DigitScenes("test", size=300, digit_counts=(1,))


@pytest.fixture(scope="module")
def scenes():
    return DigitScenes("test", size=90)
