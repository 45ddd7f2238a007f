"""Walks a source and says what is in it: sizes, captions, broken samples, copies."""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np

from vlp_jax.core.errors import BadSample, RunError
from vlp_jax.core.types import Example, Source
from vlp_jax.data.in_order import in_order
from vlp_jax.data.loader import Loader
from vlp_jax.data.transforms.image import decode_image

SHOWN = 48  # random samples on the contact sheet
BAD_SHOWN = 24  # and bad ones
NAMED = 5  # of each cause
BARS = 24  # of a histogram
SPEED_SECONDS, SPEED_BATCH = 5.0, 64  # for how long the loader is watched


class Bad(NamedTuple):
    """A sample that cannot be used."""

    name: str
    cause: str
    detail: str


class Good(NamedTuple):
    """What there is to say about a sample that can be used."""

    name: str
    width: int
    height: int
    image_bytes: int
    image_hash: int
    characters: tuple[int, ...]  # of each caption
    tokens: tuple[int, ...]
    caption_hashes: tuple[int, ...]
    answers: tuple[int, ...]  # to each question
    shown: tuple[np.ndarray, tuple[str, ...]] | None  # for the contact sheet


def spread(size: int, samples: int | None) -> np.ndarray:
    """Indices of all samples, or of so many, evenly spread."""
    if samples is None or samples >= size:
        return np.arange(size)
    return np.unique(np.linspace(0, size - 1, samples).astype(np.int64))


def short_hash(data: bytes) -> int:
    return int.from_bytes(blake2b(data, digest_size=8).digest())


def look(
    source: Source, index: int, count_tokens: Callable | None, show: bool
) -> Good | Bad:
    """Reads and decodes one sample, as evaluation would."""
    name = f"sample {index}"
    try:
        example = source[index]
        name = example.name or name
        if not _says_something(example):
            raise BadSample("caption_missing")
        picture = decode_image(example.image)
    except BadSample as error:
        return Bad(name, error.cause, str(error).removeprefix(f"{error.cause}: "))
    encoded = example.image
    data = encoded if isinstance(encoded, bytes) else np.asarray(encoded).tobytes()
    captions = example.captions
    return Good(
        name,
        *picture.size,
        len(data),
        short_hash(data),
        tuple(map(len, captions)),
        tuple(count_tokens(captions)) if count_tokens and captions else (),
        tuple(short_hash(text.encode()) for text in captions),
        tuple(len(question.answers) for question in example.questions),
        (np.asarray(picture), captions or _asked(example)) if show else None,
    )


def _asked(example: Example) -> tuple[str, ...]:
    """The questions, each with the answer that is given most often."""
    counts = [(q.text, Counter(q.answers).most_common(1)) for q in example.questions]
    return tuple(" ".join([text, *(a for a, _ in found)]) for text, found in counts)


def _says_something(example: Example) -> bool:
    more = example.questions or example.regions or example.label is not None
    return bool(example.captions or more)


def walk(
    source: Source,
    indices: Sequence[int],
    threads: int,
    count_tokens: Callable | None = None,
) -> Iterator[Good | Bad]:
    """What `look` finds at the indices, in their order."""
    draw = np.random.default_rng(0).permutation(len(indices))[:SHOWN]
    shown = {int(indices[i]) for i in draw}

    def look_at(index: int) -> Good | Bad:
        return look(source, index, count_tokens, index in shown)

    return in_order(look_at, [int(i) for i in indices], threads)


class Survey:
    """Adds up what was seen of one source; `numbers` sums it up."""

    def __init__(self, source: Source):
        self.name, self.size = source.name, len(source)
        self.dropped = dict(getattr(source, "dropped", {}))
        self.classes = len(source.class_names)
        self.good = 0
        self.bad: Counter[str] = Counter()
        self.bad_shown: list[Bad] = []
        self.shown: list[Good] = []
        self.values: dict[str, list[float]] = defaultdict(list)
        self.copies: list[tuple[str, str]] = []  # (name, the name it is a copy of)
        self.copied = 0
        self._pictures: dict[int, str] = {}
        self._captions: set[int] = set()

    def add_all(self, found: Iterable[Good | Bad]) -> "Survey":
        for one in found:
            self._add_bad(one) if isinstance(one, Bad) else self._add_good(one)
        return self

    def _add_bad(self, bad: Bad) -> None:
        self.bad[bad.cause] += 1
        if self.bad[bad.cause] <= NAMED or len(self.bad_shown) < BAD_SHOWN:
            self.bad_shown.append(bad)

    def _add_good(self, good: Good) -> None:
        self.good += 1
        self.values["short side"].append(min(good.width, good.height))
        self.values["width / height"].append(good.width / good.height)
        self.values["bytes"].append(good.image_bytes)
        self.values["captions a sample"].append(len(good.characters))
        self.values["characters a caption"] += good.characters
        self.values["tokens a caption"] += good.tokens
        if good.answers:
            self.values["questions a sample"].append(len(good.answers))
            self.values["answers a question"] += good.answers
        self._captions.update(good.caption_hashes)
        if good.image_hash in self._pictures:
            self.copied += 1
            if len(self.copies) < NAMED:
                self.copies.append((good.name, self._pictures[good.image_hash]))
        else:
            self._pictures[good.image_hash] = good.name
        if good.shown:
            self.shown.append(good)

    @property
    def walked(self) -> int:
        return self.good + self.bad.total()

    def numbers(self) -> dict[str, Any]:
        """All of it as plain JSON values."""
        captions = len(self.values["characters a caption"])
        named = defaultdict(list)
        for bad in self.bad_shown:
            if len(named[bad.cause]) < NAMED:
                named[bad.cause].append(bad.name)
        return {
            "source": self.name,
            "samples": self.size,
            "walked": self.walked,
            "usable": self.good,
            "classes": self.classes,
            "left out when opened": self.dropped,
            "bad samples": {
                cause: {"count": count, "some": named[cause]}
                for cause, count in self.bad.most_common()
            },
            "distributions": {
                what: distribution(values)
                for what, values in self.values.items()
                if values
            },
            "total bytes": int(sum(self.values["bytes"])),
            "copies of pictures": {"count": self.copied, "some": self.copies},
            "repeated captions": captions - len(self._captions),
            "captions": captions,
        }


def distribution(values: Sequence[float]) -> dict[str, float]:
    found = np.asarray(values, float)
    return {
        "min": float(found.min()),
        "median": float(np.median(found)),
        "p95": float(np.percentile(found, 95)),
        "max": float(found.max()),
    }


def histogram(values: Sequence[float]) -> list[tuple[float, float, int]]:
    """(from, to, how many) of equal bars; the last also counts what lies beyond p99."""
    found = np.asarray(values, float)
    high = np.percentile(found, 99)
    counts, edges = np.histogram(np.minimum(found, high), BARS)
    ends = zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
    return [(*pair, n) for pair, n in zip(ends, counts.tolist(), strict=True)]


def loader_speed(samples: Any, threads: int, workers: int) -> str:
    """How fast the loader is when nobody trains, in words; or why it stopped."""
    stream = Loader(samples, SPEED_BATCH, threads, workers=workers).batches(0)
    try:
        next(stream)  # starts threads or processes
        start, batches = time.perf_counter(), 0
        while time.perf_counter() - start < SPEED_SECONDS:
            next(stream)
            batches += 1
        speed = batches * SPEED_BATCH / (time.perf_counter() - start)
    except RunError as error:  # such as too many bad samples in a row
        return str(error)
    finally:
        stream.close()
    where = f"{workers} workers of " if workers else ""
    return f"{speed:,.0f} images/s, {where}{threads} threads"
