"""Embeddings of pictures, kept on disk: a second start encodes only what is new.

An index is a folder of parts. A part is two files: NAME.npy, float32 [n, E], and
NAME.json, the names, sizes and times of change of its n pictures, which is written
last: a part without it does not count. Parts are added while pictures are encoded, so
that a stop loses seconds, and become one when all are done. A part that cannot be read
is as good as none.
"""

import collections
import dataclasses
import hashlib
import json
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from vlp_jax.core import trees
from vlp_jax.core.errors import BadSample, ConfigError, RunError
from vlp_jax.core.logs import track
from vlp_jax.core.pages import write_text
from vlp_jax.showing.pictures import Pictures

WRITE_SECONDS = 20  # between two parts
THREADS = 4  # that read and decode
Key = tuple[str, int, int]  # name, size, time of the last change


@dataclasses.dataclass(frozen=True)
class Index:
    """numbers: of the pictures that have an embedding, a row of `embeddings` for each.

    embeddings: float32 [n, E], L2-normalised. left_out: the others, by cause.
    encoded: how many were not there already.
    """

    numbers: list[int]
    embeddings: np.ndarray
    left_out: Mapping[str, int]
    encoded: int

    def nearest(self, query: np.ndarray, most: int) -> list[tuple[int, float]]:
        """(picture, cosine) of the pictures nearest to float32 [E], the best first."""
        scores = self.embeddings @ query
        order = np.argsort(-scores, kind="stable")[:most]
        return [(self.numbers[i], float(scores[i])) for i in order]


def index_name(parameters: Mapping[str, np.ndarray], *texts: str) -> str:
    """A name that other weights, and other texts about model and pictures, change."""
    found = hashlib.blake2b(digest_size=10)
    for text in texts:
        data = text.encode("utf-8", "backslashreplace")
        found.update(b"%d:" % len(data) + data)
    found.update(trees.digest(dict(parameters)).encode())
    return found.hexdigest()


class Parts:
    """The folder of an index; ConfigError where it cannot be written."""

    def __init__(self, folder: Path):
        self.folder, self.names = folder, []
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._refused(error) from None

    def read(self) -> dict[Key, np.ndarray]:
        """The embedding of every picture of every part."""
        found: dict[Key, np.ndarray] = {}
        for path in sorted(self.folder.glob("*.json")):
            try:
                keys = [tuple(key) for key in json.loads(path.read_text())]
                rows = np.load(path.with_suffix(".npy"), allow_pickle=False)
                if rows.dtype != np.float32 or rows.ndim != 2 or len(rows) != len(keys):
                    continue
                found.update(zip(keys, rows, strict=True))
            except (OSError, ValueError, EOFError, TypeError):
                continue
            finally:
                self.names.append(path.stem)
        # Of a start that was killed between the two files of a part.
        alone = {x.stem for x in self.folder.glob("*.npy")} - set(self.names)
        self.names += sorted(alone)
        return found

    def add(self, rows: Mapping[Key, np.ndarray]) -> None:
        """Writes another part."""
        name = uuid.uuid4().hex[:12]
        place, half = self.folder / f"{name}.npy", self.folder / f".{name}.npy"
        try:
            with half.open("wb") as file:
                np.save(file, np.stack(list(rows.values())).astype(np.float32))
                file.flush()
                os.fsync(file.fileno())
            half.replace(place)
            write_text(place.with_suffix(".json"), json.dumps(list(rows)))
        except OSError as error:
            raise self._refused(error) from None
        finally:
            half.unlink(missing_ok=True)
        self.names.append(name)

    def replace(self, rows: Mapping[Key, np.ndarray]) -> None:
        """Writes one part in the place of those that were read or added."""
        old, self.names = self.names, []
        if rows:
            self.add(rows)
        for name in old:
            for ending in ("json", "npy"):
                (self.folder / f"{name}.{ending}").unlink(missing_ok=True)

    def _refused(self, error: OSError) -> ConfigError:
        return ConfigError(
            f"the index cannot be kept in {self.folder}: {error.strerror}; name "
            "another folder with --index=DIR"
        )


class Indexer:
    """Makes the index of pictures, or completes the one that is there.

    Args:
      prepare: picture -> uint8 [S, S, 3]; raises BadSample.
      encode: uint8 [n, S, S, 3] -> float32 [n, E], L2-normalised.
      batch_size: pictures of one call of `encode`.
      seconds: between two parts that are written.
    """

    def __init__(
        self,
        prepare: Callable[[Any], np.ndarray],
        encode: Callable[[np.ndarray], np.ndarray],
        batch_size: int,
        seconds: float = WRITE_SECONDS,
    ):
        self.prepare, self.encode, self.batch_size = prepare, encode, batch_size
        self.seconds = seconds

    def build(self, pictures: Pictures, folder: Path) -> Index:
        """The index of all pictures that can be read, kept in `folder`.

        When it is stopped, what was encoded so far is kept.
        """
        parts = Parts(folder)
        known = parts.read()
        keys = [(name, *pictures.stamp(n)) for n, name in enumerate(pictures.names)]
        missing = [number for number, key in enumerate(keys) if key not in known]
        left_out = collections.Counter()
        before = len(known)
        fresh, written = {}, time.monotonic()
        try:
            for batch in self._batches(missing):
                good = self._read_all(pictures, batch, left_out)
                if good:
                    rows = self.encode(np.stack(list(good.values())))
                    if not np.isfinite(rows).all():
                        raise RunError(
                            "the model's embeddings hold NaN or infinity; look at its "
                            "training loss, and show an earlier checkpoint"
                        )
                    fresh |= {keys[n]: row for n, row in zip(good, rows, strict=True)}
                if fresh and time.monotonic() - written > self.seconds:
                    parts.add(fresh)
                    known |= fresh
                    fresh, written = {}, time.monotonic()
        finally:
            if fresh:
                parts.add(fresh)
        known |= fresh
        kept = {key: known[key] for key in keys if key in known}
        if len(parts.names) > 1 or len(kept) < len(known):
            parts.replace(kept)
        numbers = [number for number, key in enumerate(keys) if key in known]
        embeddings = np.stack(list(kept.values())) if kept else np.zeros((0, 1))
        encoded = len(known) - before
        return Index(numbers, embeddings.astype(np.float32), left_out, encoded)

    def _batches(self, missing: Sequence[int]) -> Iterator[list[int]]:
        """The pictures that are missing, a call of `encode` at a time."""
        batch = []
        tracked = track(missing, len(missing), "pictures encoded")
        for count, number in enumerate(tracked, 1):
            batch.append(number)
            if len(batch) == self.batch_size or count == len(missing):
                yield batch
                batch = []

    def _read_all(
        self, pictures: Pictures, batch: Sequence[int], left_out: collections.Counter
    ) -> dict[int, np.ndarray]:
        """{number: picture as the model sees it} of those that can be read."""

        def read(number: int) -> np.ndarray | BadSample:
            try:
                return self.prepare(pictures.read(number))
            except BadSample as error:
                return error

        with ThreadPoolExecutor(THREADS) as pool:
            found = dict(zip(batch, pool.map(read, batch), strict=True))
        bad = {n for n, picture in found.items() if isinstance(picture, BadSample)}
        left_out.update(found[n].cause for n in bad)
        return {n: picture for n, picture in found.items() if n not in bad}
