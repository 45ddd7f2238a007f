"""Turns a dataset into feature files with a trained model: what `extract` does.

Shard k holds the samples k * shard_size ... of the source, in its order, but for those
that cannot be used. Batches do not reach over the end of a shard, so that a shard
follows from the model and the source alone, whenever it is written.
"""

import dataclasses
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vlp_jax import build
from vlp_jax.core import trees
from vlp_jax.core.errors import ConfigError, RunError, check_range
from vlp_jax.core.lookup import lookup
from vlp_jax.core.types import Source
from vlp_jax.data.shards.folder import Counts, Layout, ShardFolder, write_json
from vlp_jax.evaluation.reading import encode_images, encode_texts
from vlp_jax.features.columns import Columns, columns_of, form_of, keys_of
from vlp_jax.features.formats import FORMATS
from vlp_jax.features.reading import MANIFEST, MARK, VERSION
from vlp_jax.features.samples import Good, Samples, some_of
from vlp_jax.models.abilities import LACKING
from vlp_jax.trained import LoadedCheckpoint


@dataclasses.dataclass(frozen=True)
class Settings:
    """How features are written.

    texts: whether captions are embedded, too. threads: that read and decode.
    max_bad_share: of all samples, beyond which the extraction ends.
    """

    format: str = "npz"
    shard_size: int = 8192
    texts: bool = True
    threads: int = 4
    max_bad_share: float = 0.1

    def __post_init__(self):
        lookup(FORMATS, self.format, "format of features").check()
        check_range("shard_size", self.shard_size, 1)
        check_range("threads", self.threads, 1)
        check_range("max_bad_share", self.max_bad_share, 0, 1)


class Extraction:
    """Embeds a source into a folder.

    Args:
      source: the samples.
      loaded: the model, which must be able to embed.
      folder: where shards and the manifest go; made if it is not there.
      settings: how.
      told: what else the features follow from: the source's settings, the tokenizer.

    Raises ConfigError where the model has no embeddings, when the folder holds anything
    else, or another process is writing to it.
    """

    def __init__(
        self,
        source: Source,
        loaded: LoadedCheckpoint,
        folder: str | Path,
        settings: Settings,
        told: Mapping[str, Any],
    ):
        self.source, self.predictor, self.settings = source, loaded.predictor, settings
        if not self.predictor.can("embed"):
            who = type(self.predictor.model).__name__
            raise ConfigError(f"a {who} cannot embed: {LACKING['embed']}")
        self.width = loaded.config.model.embedding_size
        self.keys = keys_of(some_of(source), source.class_names, settings.texts)
        self.checkpoint = {
            "path": str(loaded.path),
            "step": loaded.step,
            "digest": trees.digest(dict(self.predictor.variables)),
        }
        preprocessing = build.keywords(loaded.config.preprocessing)
        self.own = {
            "source": source.name,
            "samples": len(source),
            "class_names": list(source.class_names),
            "fingerprint": dict(source.fingerprint),
            "format": settings.format,
            "shard_size": settings.shard_size,
            "texts": settings.texts,
            "keys": list(self.keys),
            "step": loaded.step,
            "weights": self.checkpoint["digest"],
            **{f"preprocessing.{key}": x for key, x in preprocessing.items()},
            **{f"settings.{key}": x for key, x in told.items()},
        }
        count = -(-len(source) // settings.shard_size)
        self.shards = ShardFolder(
            folder, _layout(settings.format, count), count, self.own
        )
        self._images = 0
        self._start = self._end = 0.0  # when it began, and the last shard was written
        self._first: tuple[float, int] | None = None  # when and with how many images

    @property
    def finished(self) -> bool:
        """Whether there is nothing to do."""
        return (self.shards.path / MANIFEST).exists() and not self.shards.missing()

    def run(self) -> Counts:
        """Writes what is missing; the counts of all shards, earlier ones too."""
        with self.shards:
            self._start = time.perf_counter()
            missing, size = self.shards.missing(), self.settings.shard_size
            (self.shards.path / MANIFEST).unlink(missing_ok=True)
            end = len(self.source)
            spans = [range(k * size, min(end, (k + 1) * size)) for k in missing]
            counts = [Counts() for _ in missing]
            samples = Samples(
                self.source,
                self.predictor.prepare_image,
                self.keys,
                self.settings.threads,
                self.settings.max_bad_share,
                self.shards.total(),
            )
            found = samples.spans(spans, self.predictor.batch_size, counts)
            for number, own, batches in zip(missing, counts, found, strict=True):
                self._write_shard(number, self._columns(batches), own)
            return self._conclude()

    def speed(self) -> str:
        """'1,234 images/s', from the end of the first batch on if there are more."""
        if not self._images:
            return "no images"
        several = self._images > self._first[1]
        start, before = self._first if several else (self._start, 0)
        rate = (self._images - before) / (self._end - start)
        return f"{rate:,.0f} images/s{'' if several else ' with the start'}"

    def _write_shard(self, number: int, columns: Columns, counts: Counts) -> None:
        path = self.shards.shard(number)
        temporary = path.with_name(f".{path.name}.tmp")
        try:
            FORMATS[self.settings.format].write(temporary, columns)
            self.shards.keep(number, temporary, counts)
        finally:
            temporary.unlink(missing_ok=True)
        self._end = time.perf_counter()

    def _columns(self, batches: Iterator[list[Good]]) -> Columns:
        """What a shard holds."""
        good, nothing = [], np.zeros((0, self.width), np.float32)
        images = [nothing]
        for batch in batches:
            pictures = np.stack([one.picture for one in batch])
            images.append(encode_images(self.predictor, pictures))
            good += [(one.index, one.example) for one in batch]
            self._images += len(batch)
            self._first = self._first or (time.perf_counter(), self._images)
        found = columns_of(good, self.keys)
        found["image_embedding"] = np.concatenate(images)
        if "text_embedding" in self.keys:
            texts = [text for _, example in good for text in example.captions]
            found["text_embedding"] = (
                encode_texts(self.predictor, texts) if texts else nothing
            )
        return {key: found[key] for key in self.keys}

    def _conclude(self) -> Counts:
        """The manifest, which says that all is there."""
        total = self.shards.total()
        if not total.samples:
            raise RunError(
                f"none of the {len(self.source):,} samples of {self.source.name} can "
                f"be used ({'; '.join(total.lines())}); check the data"
            )
        shards = [
            {
                "file": self.shards.shard(number).name,
                "samples": self.shards.counts(number).samples,
            }
            for number in range(self.shards.count)
        ]
        content = {
            MARK: VERSION,
            "format": self.settings.format,
            "checkpoint": self.checkpoint,
            "data": {key: self.own[key] for key in ("source", "fingerprint")},
            "class_names": self.own["class_names"],
            "keys": {key: form_of(key, self.width) for key in self.keys},
            "shards": shards,
            "read": len(self.source),
            **total.content(),
        }
        write_json(self.shards.path / MANIFEST, content)
        return total


def _layout(form: str, count: int) -> Layout:
    stem = f"features-{{:05d}}-of-{count:05d}"
    return Layout(
        program="extract",
        identity=".extract.json",
        shard=f"{stem}.{FORMATS[form].ENDING}",
        counts=f".{stem}.json",
        other="another checkpoint, other data or other settings",
    )
