"""Recall of retrieval between images and their captions (any number of captions).

The definitions are clip_benchmark's. `text_image[t]` is the image that text t
describes; embeddings are normalised, so that inner products are cosines.
"""

import numpy as np
from jaxtyping import Float, Int

from vlp_jax.evaluation.metrics.ranking import first_hit_ranks


def image_retrieval_ranks(
    images: Float[np.ndarray, "i e"],
    texts: Float[np.ndarray, "t e"],
    text_image: Int[np.ndarray, " t"],
) -> Int[np.ndarray, " t"]:
    """For each text, how many images come before its own."""
    return first_hit_ranks(texts, images, text_image, np.arange(len(images)))


def text_retrieval_ranks(
    images: Float[np.ndarray, "i e"],
    texts: Float[np.ndarray, "t e"],
    text_image: Int[np.ndarray, " t"],
) -> Int[np.ndarray, " i"]:
    """For each image, how many texts come before the best of its captions."""
    return first_hit_ranks(images, texts, np.arange(len(images)), text_image)


def recall_at_k(ranks: Int[np.ndarray, " queries"], k: int) -> float:
    """Share of queries with a right answer among the first k.

    Over `image_retrieval_ranks` it is image_retrieval_recall@k (a mean over texts),
    over `text_retrieval_ranks` text_retrieval_recall@k (a mean over images).
    """
    return float((ranks < k).mean())
