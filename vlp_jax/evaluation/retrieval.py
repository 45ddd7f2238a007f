"""Zero-shot retrieval between images and their captions, in both directions."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from vlp_jax.core.errors import BadSample, RunError, check_range
from vlp_jax.core.types import Example, Predictor, Report, Source
from vlp_jax.evaluation.device_ranks import retrieval_ranks_on_devices
from vlp_jax.evaluation.metrics.ranking import top_k
from vlp_jax.evaluation.metrics.retrieval import (
    image_retrieval_ranks,
    recall_at_k,
    text_retrieval_ranks,
)
from vlp_jax.evaluation.reading import Reader, encode_images, encode_texts
from vlp_jax.parallel.mesh import MeshSpec

TASK = "zeroshot_retrieval"
SHOWN = 5  # answers drawn per query
FEW_SCORES = 2**22  # up to here NumPy is quicker than a program for the devices


class Retrieval:
    """Finds images by caption and captions by image.

    Args:
      source: examples with captions; one without any is skipped ('caption_missing'),
        or where the source `counts_uncaptioned`, as clip_benchmark does, is a miss.
      recall_at: the values of k.
      captions_per_image: only the first so many of an image's captions; None: all.
      limit: only the first `limit` samples; None means all.
      gallery: how many queries of each direction the report shows.

    Metrics: image_retrieval_recall@k (over texts), text_retrieval_recall@k (over
    images). Details: text_queries and image_queries (half answered right, half not),
    failures (the text queries that fared worst), skipped, images, texts. RunError
    where no sample has a caption.
    """

    def __init__(
        self,
        source: Source,
        recall_at: Sequence[int] = (1, 5, 10),
        captions_per_image: int | None = None,
        limit: int | None = None,
        gallery: int = 12,
    ):
        check_range("retrieval: limit", limit, 1)
        check_range("retrieval: captions_per_image", captions_per_image, 1)
        check_range("retrieval: recall_at", min(recall_at, default=0), 1)
        check_range("retrieval: gallery", gallery, 0)
        self.source, self.recall_at = source, tuple(recall_at)
        self.captions_per_image, self.limit = captions_per_image, limit
        self.gallery = gallery

    def run(self, predictor: Predictor) -> Report:
        """Reads the source once; pictures of the gallery are read a second time."""
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
        metrics = {
            f"{direction}_retrieval_recall@{k}": recall_at_k(ranks, k)
            for direction, ranks in (("image", found.of_text), ("text", found.of_image))
            for k in self.recall_at
        }
        draw = Gallery(found, texts, reader, indices)
        details = {
            "text_queries": [
                draw.text(t) for t in _mixture(found.of_text, self.gallery)
            ],
            "image_queries": [
                draw.image(i) for i in _mixture(found.of_image, self.gallery)
            ],
            "failures": [draw.text(t) for t in _worst(found.of_text, self.gallery)],
            "skipped": dict(reader.skipped),
            "images": len(images),
            "texts": len(texts),
        }
        return Report(TASK, self.source.name, metrics, details)

    def _check(self, example: Example) -> None:
        if not (example.captions or getattr(self.source, "counts_uncaptioned", False)):
            raise BadSample("caption_missing", example.name)


class Rankings:
    """Embeddings of both sides, and where each query's first right answer came."""

    def __init__(
        self,
        images: Float[np.ndarray, "i e"],
        texts: Float[np.ndarray, "t e"],
        text_image: Int[np.ndarray, " t"],
    ):
        self.images, self.texts, self.text_image = images, texts, text_image
        given = images, texts, text_image
        if len(images) * len(texts) <= FEW_SCORES:
            self.of_text = image_retrieval_ranks(*given)
            self.of_image = text_retrieval_ranks(*given)
        else:
            found = retrieval_ranks_on_devices(*given, MeshSpec().make())
            self.of_text, self.of_image = found


class Gallery:
    """Turns queries into what the report draws. Ranks count from 1 there."""

    def __init__(
        self, found: Rankings, texts: Sequence[str], reader: Reader, indices: list[int]
    ):
        self.found, self.texts = found, texts
        self.reader, self.indices = reader, indices

    def picture(self, image: int) -> np.ndarray:
        return self.reader.picture(self.indices[image])

    def text(self, text: int) -> dict[str, Any]:
        """A caption, its own picture and the pictures ranked first."""
        found = self.found
        own = int(found.text_image[text])
        ranked = top_k(found.texts[text, None] @ found.images.T, SHOWN)[0]
        return {
            "caption": self.texts[text],
            "picture": self.picture(own),
            "rank": int(found.of_text[text]) + 1,
            "answers": [
                {"picture": self.picture(i), "right": i == own} for i in ranked.tolist()
            ],
        }

    def image(self, image: int) -> dict[str, Any]:
        """A picture, the first of its captions and the captions ranked first."""
        found = self.found
        ranked = top_k(found.images[image, None] @ found.texts.T, SHOWN)[0]
        own = np.flatnonzero(found.text_image == image)
        return {
            "picture": self.picture(image),
            "caption": self.texts[own[0]] if len(own) else "",
            "rank": int(found.of_image[image]) + 1,
            "answers": [
                {"caption": self.texts[t], "right": bool(found.text_image[t] == image)}
                for t in ranked
            ],
        }


def _mixture(ranks: Int[np.ndarray, " queries"], count: int) -> list[int]:
    """`count` queries spread over the data: half answered right at once, half not.

    Where one half is short the other fills up.
    """
    right, wrong = np.flatnonzero(ranks == 0), np.flatnonzero(ranks > 0)
    of_wrong = min(len(wrong), max(count // 2, count - len(right)))
    chosen = _spread(right, count - of_wrong) + _spread(wrong, of_wrong)
    return sorted(chosen)


def _spread(items: np.ndarray, count: int) -> list[int]:
    """Up to `count` of `items` at even distances."""
    count = min(count, len(items))
    return [int(items[i * len(items) // count]) for i in range(count)]


def _worst(ranks: Int[np.ndarray, " queries"], count: int) -> list[int]:
    """The wrongly answered queries whose right answer came last, the worst first."""
    order = np.argsort(-ranks, kind="stable")[:count]
    return [int(query) for query in order if ranks[query] > 0]
