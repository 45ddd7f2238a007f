"""Two rankings of retrieval: by embeddings, and its first answers by the pairs."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from vlp_jax.core.logs import track
from vlp_jax.core.types import Predictor
from vlp_jax.evaluation.device_ranks import retrieval_ranks_on_devices
from vlp_jax.evaluation.metrics.ranking import top_k
from vlp_jax.evaluation.metrics.reranking import reranked, reranked_ranks
from vlp_jax.evaluation.metrics.retrieval import (
    image_retrieval_ranks,
    text_retrieval_ranks,
)
from vlp_jax.evaluation.nearest import nearest
from vlp_jax.evaluation.reading import match_pairs
from vlp_jax.parallel.mesh import MeshSpec

FEW_SCORES = 2**22  # up to here NumPy is quicker than a program for the devices
SUREST = 1e-7  # from 0 or 1: nearer, float32 tells probabilities hardly apart


class Rankings:
    """Embeddings of both sides, and where each query's first right answer came.

    Attributes:
      images [I, E], texts [T, E], text_image [T]: what is ranked.
      of_text [T], of_image [I]: how many answers come before the first right one.
    """

    def __init__(
        self,
        images: Float[np.ndarray, "i e"],
        texts: Float[np.ndarray, "t e"],
        text_image: Int[np.ndarray, " t"],
    ):
        self.images, self.texts, self.text_image = images, texts, text_image
        given = images, texts, text_image
        self.are_few = len(images) * len(texts) <= FEW_SCORES
        if self.are_few:
            self.of_text = image_retrieval_ranks(*given)
            self.of_image = text_retrieval_ranks(*given)
        else:
            found = retrieval_ranks_on_devices(*given, MeshSpec().make())
            self.of_text, self.of_image = found

    def first_images(self, k: int) -> "First":
        """For each text the k images that come first."""
        return self._first(self.texts, self.images, k)

    def first_texts(self, k: int) -> "First":
        """For each image the k texts that come first."""
        return self._first(self.images, self.texts, k)

    def _first(self, queries: np.ndarray, keys: np.ndarray, k: int) -> "First":
        if not self.are_few:
            cosines, index = nearest(queries, keys, k, MeshSpec().make())
            return First(index, cosines)
        scores = queries @ keys.T
        index = top_k(scores, k)
        return First(index, np.take_along_axis(scores, index, axis=1))


class First(NamedTuple):
    """The first answers of each query, best first, and their cosines."""

    index: Int[np.ndarray, "q k"]
    cosine: Float[np.ndarray, "q k"]


class Reranking:
    """The first k answers of each query by the match of the pair, both directions.

    Args:
      found: the first ranking.
      k: how many answers of each query.
      score: (probabilities of a match, cosines) -> what they are ordered by; one of
        SCORES.

    After `run`: of_text and of_image as of Rankings; first_images [T, k] and
    first_texts [I, k], the answers in their new order.
    """

    def __init__(self, found: Rankings, k: int, score: Callable):
        self.found, self.score = found, score
        self.images, self.texts = found.first_images(k), found.first_texts(k)

    def run(
        self,
        predictor: Predictor,
        pictures: Callable[[range], UInt8[np.ndarray, "n s s 3"]],
        texts: Sequence[str],
    ) -> None:
        """Matches every pair once; tokens of a batch of pictures exist at a time.

        pictures: numbers of images -> what the predictor sees.
        """
        of_images = np.zeros(self.images.index.shape, np.float32)
        of_texts = np.zeros(self.texts.index.shape, np.float32)
        for part, pairs in self._parts(predictor.batch_size):
            wanted, place = np.unique(pairs.number, return_inverse=True)
            rows, text = np.divmod(wanted, len(texts))
            tokens = predictor.image_tokens(pictures(part))
            chosen = [texts[t] for t in text]
            match = match_pairs(predictor, tokens, rows - part.start, chosen)[place]
            of_images.flat[pairs.asked] = match[: len(pairs.asked)]
            answers = match[len(pairs.asked) :]
            of_texts[part.start : part.stop] = answers.reshape(len(part), -1)
        self._order(of_images, of_texts)

    def _parts(self, size: int) -> Iterator[tuple[range, "_Pairs"]]:
        """The pairs by their image: a batch of images at a time."""
        owners = self.images.index.ravel()
        order = np.argsort(owners, kind="stable")
        count, texts = len(self.found.images), len(self.found.texts)
        starts = range(0, count, size)
        for start in track(starts, len(starts), "batches of pictures re-ranked"):
            part = range(start, min(start + size, count))
            ends = np.searchsorted(owners[order], [part.start, part.stop])
            asked = order[slice(*ends)]
            by_text = owners[asked] * texts + asked // self.images.index.shape[1]
            own = self.texts.index[part.start : part.stop]
            by_image = np.array(part)[:, None] * texts + own
            yield part, _Pairs(np.concatenate([by_text, by_image.ravel()]), asked)

    def _order(self, of_images: np.ndarray, of_texts: np.ndarray) -> None:
        """Sorts the answers, and finds the right ones among them."""
        found, ranks = self.found, []
        for first, match in ((self.images, of_images), (self.texts, of_texts)):
            ranks.append(reranked(self.score(match, first.cosine)))
        images, texts = ranks
        owner = found.text_image
        right_images = self.images.index == owner[:, None]
        right_texts = owner[self.texts.index] == np.arange(len(found.images))[:, None]
        self.of_text = reranked_ranks(found.of_text, images, right_images)
        self.of_image = reranked_ranks(found.of_image, texts, right_texts)
        self.first_images = np.take_along_axis(self.images.index, images, axis=1)
        self.first_texts = np.take_along_axis(self.texts.index, texts, axis=1)


class _Pairs(NamedTuple):
    """Pairs of a part, first those that texts asked for, then those of its images.

    number: image * texts + text. asked: the flat places of the former in [T, k].
    """

    number: Int[np.ndarray, " n"]
    asked: Int[np.ndarray, " m"]


def _log_odds_and_cosine(match: np.ndarray, cosine: np.ndarray) -> np.ndarray:
    match = match.astype(np.float64).clip(SUREST, 1 - SUREST)
    return np.log(match / (1 - match)) + cosine


# What the first answers are ordered by: ALBEF's way, and BLIP's.
SCORES = {
    "match": lambda match, cosine: match,
    "match_and_cosine": _log_odds_and_cosine,
}
