"""Does a model read word order? Captions against wrong ones that are nearly alike."""

import numpy as np
from einops import einsum, rearrange

from vlp_jax.core.errors import BadSample, ConfigError, RunError, check_range
from vlp_jax.core.types import Example, Predictor, Report, Source
from vlp_jax.evaluation.metrics.selection import selection_accuracy, selection_scores
from vlp_jax.evaluation.reading import Reader, encode_images, encode_texts

TASK = "image_caption_selection"


class HardNegatives:
    """Each picture chooses between its caption and wrong ones: SugarCrepe.

    Args:
      source: examples with a caption and `negatives`; others are skipped
        ('caption_missing').
      limit: only the first `limit` samples; None means all.

    Metrics: text_acc, acc and image_acc, which is 1, as clip_benchmark has them;
    text_score is the paper's accuracy, where a tie is wrong. Details: skipped, samples.
    """

    def __init__(self, source: Source, limit: int | None = None):
        check_range("hard_negatives: limit", limit, 1)
        self.source, self.limit = source, limit

    def run(self, predictor: Predictor) -> Report:
        """Reads the source once."""
        reader = Reader(self.source, predictor, self.limit, _check_negatives)
        scores = []
        for chunk in reader:
            images = encode_images(predictor, chunk.pictures)
            own = [example.captions[0] for example in chunk.examples]
            wrong = [text for example in chunk.examples for text in example.negatives]
            texts = encode_texts(predictor, own + wrong)
            owners = np.repeat(
                np.arange(len(own)), [len(x.negatives) for x in chunk.examples]
            )
            right = einsum(images, texts[: len(own)], "n e, n e -> n")
            worst = np.full(len(own), -np.inf, right.dtype)
            found = einsum(images[owners], texts[len(own) :], "w e, w e -> w")
            np.maximum.at(worst, owners, found)
            scores.append(np.stack([right, worst], axis=1))
        found = rearrange(np.concatenate(scores), "n captions -> n 1 captions")
        strict = selection_scores(found)["text_score"]
        metrics = selection_accuracy(found) | {"text_score": strict}
        return _report(self.source, metrics, reader, len(found))


class Winoground:
    """Two pictures and two captions of the same words: who belongs to whom?

    Args:
      source: samples 2k and 2k + 1 are a pair, the caption of each the negative of the
        other, as of the kind `winoground`. Where one of them cannot be read its pair
        is skipped.
      limit: only the first `limit` samples, two a pair; None means all.

    Metrics: text_score, image_score, group_score as the paper has them, where a tie is
    wrong; text_acc, image_acc, acc as clip_benchmark has them, where the first of two
    equal scores wins. Details: skipped, samples.
    """

    def __init__(self, source: Source, limit: int | None = None):
        check_range("winoground: limit", limit, 2)
        self.source, self.limit = source, limit

    def run(self, predictor: Predictor) -> Report:
        """Reads the source once."""
        reader = Reader(self.source, predictor, self.limit, _check_negatives)
        found: dict[int, tuple] = {}
        for chunk in reader:
            images = encode_images(predictor, chunk.pictures)
            texts = encode_texts(predictor, [x.captions[0] for x in chunk.examples])
            rows = zip(chunk.examples, images, texts, strict=True)
            found |= zip(chunk.indices, rows, strict=True)
        pairs = [(n, n + 1) for n in sorted(found) if n % 2 == 0 and n + 1 in found]
        if not pairs:
            raise RunError(f"{self.source.name}: no pair of which both can be used")
        for first, second in pairs:
            self._check_pair(found[first][0], found[second][0])
        images, texts = (
            np.stack([[found[n][part] for n in pair] for pair in pairs])
            for part in (1, 2)
        )
        scores = einsum(images, texts, "n image e, n caption e -> n image caption")
        metrics = selection_scores(scores) | selection_accuracy(scores)
        return _report(self.source, metrics, reader, 2 * len(pairs))

    def _check_pair(self, first: Example, second: Example) -> None:
        captions = first.captions[0], second.captions[0]
        if captions != (second.negatives[0], first.negatives[0]):
            raise ConfigError(
                f"winoground needs pairs of samples, the caption of each the negative "
                f"of the other, but {self.source.name} has {captions} in a row; use a "
                "source of kind 'winoground', or the evaluator 'hard_negatives'"
            )


def _report(source: Source, metrics: dict, reader: Reader, samples: int) -> Report:
    skipped = dict(reader.skipped)
    alone = reader.size - reader.skipped.total() - samples
    if alone:
        skipped["pair_incomplete"] = alone
    return Report(TASK, source.name, metrics, {"skipped": skipped, "samples": samples})


def _check_negatives(example: Example) -> None:
    if not example.captions or not example.negatives:
        raise BadSample("caption_missing", example.name)
