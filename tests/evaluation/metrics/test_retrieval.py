"""Recall of retrieval against numbers worked out by hand."""

import numpy as np
import pytest

from vlp_jax.evaluation.metrics import retrieval


def test_retrieval_by_hand_with_several_captions():
    images = np.eye(3, dtype=np.float32)
    # captions 0 and 1 belong to image 0, caption 2 to image 1, caption 3 to image 2
    text_image = np.array([0, 0, 1, 2])
    texts = np.array(
        [[0.9, 0.1, 0], [0.1, 0.9, 0], [0.2, 0.5, 0.8], [0.7, 0.6, 0.1]], np.float32
    )
    images_found = retrieval.image_retrieval_ranks(images, texts, text_image)
    assert images_found.tolist() == [0, 1, 1, 2]
    # per image the scores are columns of `texts`: image 0 has 0.9 first; image 1 has
    # 0.9, 0.6 before 0.5; image 2 has 0.8 before 0.1
    texts_found = retrieval.text_retrieval_ranks(images, texts, text_image)
    assert texts_found.tolist() == [0, 2, 1]
    assert retrieval.recall_at_k(images_found, 1) == 1 / 4
    assert retrieval.recall_at_k(images_found, 2) == 3 / 4
    assert retrieval.recall_at_k(texts_found, 1) == pytest.approx(1 / 3)
    assert retrieval.recall_at_k(texts_found, 2) == pytest.approx(2 / 3)
    assert retrieval.recall_at_k(texts_found, 99) == 1.0


def test_a_constant_model_finds_the_first_not_the_right():
    same = np.ones((4, 2), np.float32)
    ranks = retrieval.image_retrieval_ranks(same, same, np.arange(4))
    assert ranks.tolist() == [0, 1, 2, 3]


def test_an_image_without_captions_is_never_found():
    images, texts = np.eye(2, dtype=np.float32), np.eye(2, dtype=np.float32)[:1]
    ranks = retrieval.text_retrieval_ranks(images, texts, np.array([0]))
    assert ranks.tolist() == [0, 1]


def test_scores_that_are_not_finite_are_refused():
    broken = np.array([[1.0, np.nan], [0.0, 1.0]], np.float32)
    with pytest.raises(ValueError, match="1 of 2 rows hold NaN"):
        retrieval.image_retrieval_ranks(broken, np.eye(2), np.arange(2))
