"""Zero-shot retrieval between images and their captions, in both directions."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8

from vlp_jax.core.errors import BadSample, RunError, check_range
from vlp_jax.core.lookup import lookup
from vlp_jax.core.types import Example, Predictor, Report, Source
from vlp_jax.evaluation.abilities import check_ability
from vlp_jax.evaluation.choosing import mixture
from vlp_jax.evaluation.metrics.ranking import top_k
from vlp_jax.evaluation.metrics.retrieval import recall_at_k
from vlp_jax.evaluation.rankings import SCORES, Rankings, Reranking
from vlp_jax.evaluation.reading import Reader, encode_images, encode_texts

TASK = "zeroshot_retrieval"
SHOWN = 5  # answers drawn per query


class Retrieval:
    """Finds images by caption and captions by image.

    Args:
      source: examples with captions; one without any is skipped ('caption_missing'),
        or where the source `counts_uncaptioned`, as clip_benchmark does, is a miss.
      recall_at: the values of k.
      captions_per_image: only the first so many of an image's captions; None: all.
      limit: only the first `limit` samples; None means all.
      gallery: how many queries of each direction the report shows.
      rerank: so many first answers of each query are ordered anew by how well the pair
        matches, as ALBEF does; 0: none.
      rerank_by: 'match', or 'match_and_cosine', the sum of its log odds and the cosine.

    Metrics: image_retrieval_recall@k (over texts), text_retrieval_recall@k (over
    images), and the same of the second ranking as reranked_*. Details: text_queries and
    image_queries (half answered right by the last ranking, half not), failures (the
    text queries that fared worst), skipped, images, texts. RunError where no sample has
    a caption.
    """

    def __init__(
        self,
        source: Source,
        recall_at: Sequence[int] = (1, 5, 10),
        captions_per_image: int | None = None,
        limit: int | None = None,
        gallery: int = 12,
        rerank: int = 0,
        rerank_by: str = "match",
    ):
        check_range("retrieval: limit", limit, 1)
        check_range("retrieval: captions_per_image", captions_per_image, 1)
        check_range("retrieval: recall_at", min(recall_at, default=0), 1)
        check_range("retrieval: gallery", gallery, 0)
        self.source, self.recall_at = source, tuple(recall_at)
        self.captions_per_image, self.limit = captions_per_image, limit
        check_range("retrieval: rerank", rerank, 0)
        self.gallery, self.rerank = gallery, rerank
        self.score = lookup(SCORES, rerank_by, "retrieval: rerank_by")

    def run(self, predictor: Predictor) -> Report:
        """Reads the source once; pictures of the gallery are read a second time.

        To re-rank, all pictures are.
        """
        if self.rerank:
            check_ability(predictor, "match", "retrieval with rerank")
        reader = Reader(self.source, predictor, self.limit, self._check)
        indices, parts, captions = [], [], []
        for chunk in reader:
            parts.append(encode_images(predictor, chunk.pictures))
            indices += chunk.indices
            captions += [e.captions[: self.captions_per_image] for e in chunk.examples]
        images = np.concatenate(parts)
        texts = [caption for of_image in captions for caption in of_image]
        if not texts:
            raise RunError(f"nothing to rank: {self.source.name} has no caption")
        found = Rankings(
            images=images,
            texts=encode_texts(predictor, texts),
            text_image=np.repeat(np.arange(len(images)), [len(c) for c in captions]),
        )
        last, metrics = found, self._recalls(found)
        pictures = Pictures(reader, indices)
        again = None
        if self.rerank:
            again = last = Reranking(found, self.rerank, self.score)
            again.run(predictor, pictures, texts)
            metrics |= self._recalls(again, "reranked_")
        draw = Gallery(found, again, texts, pictures)
        details = {
            "text_queries": [
                draw.text(t) for t in mixture(last.of_text == 0, self.gallery)
            ],
            "image_queries": [
                draw.image(i) for i in mixture(last.of_image == 0, self.gallery)
            ],
            "failures": [draw.text(t) for t in _worst(last.of_text, self.gallery)],
            "skipped": dict(reader.skipped),
            "images": len(images),
            "texts": len(texts),
        }
        return Report(TASK, self.source.name, metrics, details)

    def _recalls(
        self, found: Rankings | Reranking, prefix: str = ""
    ) -> dict[str, float]:
        return {
            f"{prefix}{direction}_retrieval_recall@{k}": recall_at_k(ranks, k)
            for direction, ranks in (("image", found.of_text), ("text", found.of_image))
            for k in self.recall_at
        }

    def _check(self, example: Example) -> None:
        if not (example.captions or getattr(self.source, "counts_uncaptioned", False)):
            raise BadSample("caption_missing", example.name)


class Pictures:
    """Pictures by the numbers that they are ranked by, read again."""

    def __init__(self, reader: Reader, indices: list[int]):
        self.reader, self.indices = reader, indices

    def one(self, image: int) -> UInt8[np.ndarray, "s s 3"]:
        return self.reader.picture(self.indices[image])

    def __call__(self, images: range) -> UInt8[np.ndarray, "n s s 3"]:
        return np.stack([self.one(image) for image in images])


class Gallery:
    """Turns queries into what the report draws. Ranks count from 1 there."""

    def __init__(
        self,
        found: Rankings,
        again: Reranking | None,
        texts: Sequence[str],
        pictures: Pictures,
    ):
        self.found, self.again, self.texts = found, again, texts
        self.picture = pictures.one

    def text(self, text: int) -> dict[str, Any]:
        """A caption, its own picture and the pictures ranked first."""
        found, again = self.found, self.again
        own = int(found.text_image[text])
        ranked = top_k(found.texts[text, None] @ found.images.T, SHOWN)[0]
        query = {"caption": self.texts[text], "picture": self.picture(own)}
        query |= self._pictures(found.of_text[text], ranked, own)
        if again is not None:
            first = again.first_images[text, :SHOWN]
            query["reranked"] = self._pictures(again.of_text[text], first, own)
        return query

    def image(self, image: int) -> dict[str, Any]:
        """A picture, the first of its captions and the captions ranked first."""
        found, again = self.found, self.again
        ranked = top_k(found.images[image, None] @ found.texts.T, SHOWN)[0]
        own = np.flatnonzero(found.text_image == image)
        caption = self.texts[own[0]] if len(own) else ""
        query = {"picture": self.picture(image), "caption": caption}
        query |= self._captions(found.of_image[image], ranked, image)
        if again is not None:
            first = again.first_texts[image, :SHOWN]
            query["reranked"] = self._captions(again.of_image[image], first, image)
        return query

    def _pictures(self, rank: int, first: np.ndarray, own: int) -> dict[str, Any]:
        answers = [
            {"picture": self.picture(i), "right": i == own} for i in first.tolist()
        ]
        return {"rank": int(rank) + 1, "answers": answers}

    def _captions(self, rank: int, first: np.ndarray, image: int) -> dict[str, Any]:
        owner = self.found.text_image
        answers = [
            {"caption": self.texts[t], "right": bool(owner[t] == image)} for t in first
        ]
        return {"rank": int(rank) + 1, "answers": answers}


def _worst(ranks: Int[np.ndarray, " queries"], count: int) -> list[int]:
    """The wrongly answered queries whose right answer came last, the worst first."""
    order = np.argsort(-ranks, kind="stable")[:count]
    return [int(query) for query in order if ranks[query] > 0]
