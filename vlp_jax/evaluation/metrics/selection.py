"""Choosing between captions that are nearly alike, and between their pictures.

An instance has I images and C captions; the first min(I, C) of both belong together.
SugarCrepe (arXiv:2306.14610): one image, its caption and a hard negative. Winoground
(arXiv:2204.03162): two images and two captions of the same words.
"""

import numpy as np
from jaxtyping import Float

from vlp_jax.evaluation.metrics.ranking import check_finite


def selection_accuracy(
    scores: Float[np.ndarray, "n images captions"],
) -> dict[str, float]:
    """clip_benchmark's image_acc, text_acc and acc (both right) of n instances.

    text_acc: each image's best caption is its own. image_acc: each caption's best
    image is its own. Of equal scores the first counts as the best, as torch.argmax
    has it: where all scores are equal SugarCrepe's text_acc is 1.
    """
    check_finite(scores.reshape(len(scores), -1))
    own = np.arange(min(scores.shape[1:]))
    text = (scores.argmax(axis=2)[:, : len(own)] == own).all(axis=1)
    image = (scores.argmax(axis=1)[:, : len(own)] == own).all(axis=1)
    return _shares(image_acc=image, text_acc=text, acc=image & text)


def selection_scores(
    scores: Float[np.ndarray, "n images captions"],
) -> dict[str, float]:
    """Winoground's image_score, text_score and group_score of n instances.

    As the papers have it an own pair must score more than each other one: a tie is
    wrong. With one image text_score is SugarCrepe's accuracy.
    """
    check_finite(scores.reshape(len(scores), -1))
    count = min(scores.shape[1:])
    own = scores[:, np.arange(count), np.arange(count)]
    others = ~np.eye(*scores.shape[1:], dtype=bool)
    captions = np.where(others, scores, -np.inf)[:, :count].max(axis=2)
    images = np.where(others, scores, -np.inf)[:, :, :count].max(axis=1)
    text, image = (own > captions).all(axis=1), (own > images).all(axis=1)
    return _shares(image_score=image, text_score=text, group_score=image & text)


def _shares(**right: np.ndarray) -> dict[str, float]:
    return {name: float(found.mean()) for name, found in right.items()}
