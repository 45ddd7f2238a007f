"""Heat over pictures, and the words that it is asked for."""

from types import SimpleNamespace

import numpy as np
import pytest

from vlp_jax.evaluation.attention import SIDE, STRONGEST, overlay, word_maps

GREY = np.full((48, 48, 3), 100, np.uint8)


@pytest.mark.parametrize("side", [48, 192, 384])
def test_the_hot_patch_is_red_and_the_others_stay(side):
    picture = np.full((side, side, 3), 100, np.uint8)
    heat = np.zeros((4, 3), np.float32)
    heat[1, 2] = 5.0
    found = overlay(picture, heat).astype(int)
    assert found.shape == (SIDE, SIDE, 3)
    centre = found[round(SIDE * 1.5 / 4), round(SIDE * 2.5 / 3)]
    expected = 100 * (1 - STRONGEST) + STRONGEST * np.array([220, 30, 30])
    assert np.abs(centre - expected).max() <= 5
    assert (found[SIDE * 3 // 4 :] == 100).all() and (
        found[:, : SIDE // 3] == 100
    ).all()


def test_an_even_map_shows_the_picture():
    picture = np.random.default_rng(0).integers(0, 256, (48, 48, 3), np.uint8)
    found = overlay(picture, np.full((3, 3), 0.7, np.float32))
    assert np.array_equal(found[::4, ::4], picture)  # every pixel is 4 x 4


def test_only_differences_count():
    heat = np.random.default_rng(1).random((5, 5), np.float32)
    assert np.array_equal(overlay(GREY, heat), overlay(GREY, 8 * heat))


def test_rows_from_the_top_and_columns_from_the_left():
    heat = np.arange(4, dtype=np.float32).reshape(2, 2)
    red = overlay(GREY, heat)[..., 0].astype(int)
    corners = red[0, 0], red[0, -1], red[-1, 0], red[-1, -1]
    assert corners[0] == 100 and max(corners) == corners[3]


def test_words_that_a_picture_may_show():
    seeing = SimpleNamespace(
        attention_map=lambda picture, text, word: np.eye(len(word))
    )
    found = word_maps(seeing, GREY, "There is a man's red dog, and a red T-shirt 2.")
    assert [x["word"] for x in found] == ["man", "red", "dog"]
    assert [x["heat"].shape for x in found] == [(3, 3)] * 3
