"""Tar shards in webdataset's layout, as img2dataset and `prepare` write them.

  00000.tar   000000001.jpg  000000001.txt  000000001.json  000000002.jpg  ...

Members with the same name up to the first dot are one sample. Shards are read where
they lie, without unpacking or conversion: each is read once from start to end to make
its index (data/shards/index.py), after which every sample can be reached directly.
"""

import dataclasses
import functools
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from vlp_jax.core.errors import BadSample, ConfigError
from vlp_jax.core.lookup import suggestion
from vlp_jax.core.types import Example
from vlp_jax.data.class_names import named_classes
from vlp_jax.data.classes import Classes
from vlp_jax.data.files import LIMITS
from vlp_jax.data.fingerprint import digest
from vlp_jax.data.parts import locate
from vlp_jax.data.recent import Recent
from vlp_jax.data.shards.files import ShardFiles
from vlp_jax.data.shards.index import JSON, LABEL, PICTURES, UNKNOWN, ending_of
from vlp_jax.data.shards.names import common_folder, find_shards, is_remote
from vlp_jax.data.shards.sample_json import MARK, from_json
from vlp_jax.data.shards.store import ShardIndex, open_indices
from vlp_jax.data.shards.text_fields import Captions, TextFields, member_of, read_json

OPEN_INDICES = 512
# The first of these that a sample has, unless `captions` says which are wanted.
USUAL_CAPTIONS = (f"{JSON}.captions", "txt", f"{JSON}.caption")
OWN_JSON = f"{JSON}.{MARK}"  # its other contents are known


class _Shard:
    """The index of a shard with the rows of the samples that are used."""

    def __init__(self, index: ShardIndex, kept: Callable):
        self.url, self.bits = index.url, index.about["bits"]
        self.fields, self.arrays = index.about["fields"], index.arrays()
        chosen = kept(self.arrays["has"])
        self.rows = None if chosen.all() else np.flatnonzero(chosen)

    def row(self, number: int) -> int:
        """Which sample of the shard is the `number`-th that is used."""
        return number if self.rows is None else int(self.rows[number])

    def members(self, row: int) -> dict[str, tuple[int, int]]:
        """{field: (offset, size)} of a sample, in the order of the shard."""
        part = slice(*self.arrays["first"][row : row + 2].tolist())
        numbers = self.arrays["field"][part].tolist()
        offsets, sizes = (self.arrays[n][part].tolist() for n in ("offset", "size"))
        fields = [self.fields[number] for number in numbers]
        return dict(zip(fields, zip(offsets, sizes, strict=True), strict=True))

    def key(self, row: int) -> str:
        ends = self.arrays["key_end"]
        start = int(ends[row - 1]) if row else 0
        key = self.arrays["keys"][start : int(ends[row])].tobytes()
        return key.decode("utf-8", "replace")


class WebDataset:
    """A random-access source over tar shards.

    Args:
      urls: the shards: 'DIR/{00000..00331}.tar', a folder, a pattern, several of
        them; paths or s3://, gs://, https:// (fsspec).
      captions: the fields that hold captions, such as 'txt' or 'json.caption'; all
        that a sample has become its captions. None: the first it has of
        'json.captions' (as `prepare` writes), 'txt' and 'json.caption'.
      caption_weights: how often each field of `captions` is drawn in training.
      image_column: the field of the picture, such as 'left.jpg'; None: the first.
      class_names: names of the labels in .cls members, a set or a text file
        (class_names.py); samples without a caption are then captioned from `templates`.
      templates: captions of labels; '{}' stands for the class name.
      index: folder for the indices; None: beside each shard, or where that cannot be
        written and for URLs, ~/.cache/vlp_jax/index.
      caption_lines: whether each line of a text file is a caption of its own; else its
        lines are joined to one.

    Samples without a picture or a caption are left out; `dropped` counts them by cause,
    and what else an index leaves out. `blocks` [shards] is how many samples there are
    up to the end of each shard, for an order that reads shards in sequence, as `remote`
    ones should be.
    """

    label_field = LABEL

    def __init__(
        self,
        urls: str | Sequence[str],
        captions: str | Sequence[str] | None = None,
        caption_weights: tuple[float, ...] | None = None,
        image_column: str | None = None,
        class_names: str | Sequence[str] | None = None,
        templates: tuple[str, ...] = ("a photo of a {}",),
        index: str | None = None,
        caption_lines: bool = False,
    ):
        shards = find_shards(urls, ".tar")
        folder, names = common_folder(shards)
        self.name = f"webdataset/{folder.rstrip('/').rpartition('/')[2] or 'shards'}"
        self.class_names = named_classes(class_names)
        if captions is not None and not isinstance(captions, list | tuple):
            captions = (captions,)
        self.texts = TextFields(
            USUAL_CAPTIONS if captions is None else tuple(captions),
            caption_weights,
            first_only=captions is None,
            lines=caption_lines,
        )
        self.classes = Classes(self.class_names, tuple(templates))
        self.image_column = image_column
        self._shard_names = names
        self.remote = any(map(is_remote, shards))
        self._indices = open_indices(shards, index)
        self._files = ShardFiles()
        self._check_fields(captions)
        self._count()
        self._take_fingerprint()
        self._open = Recent(self._open_shard, OPEN_INDICES)

    def _check_fields(self, captions: Sequence[str] | None) -> None:
        known = {name for index in self._indices for name in index.about["bits"]}
        if any(int(m) & UNKNOWN for i in self._indices for m in i.about["masks"]):
            known |= {name for name in captions or () if member_of(name)[1]}
        wanted = [*(captions or ()), *filter(None, [self.image_column])]
        for field in wanted:
            if field not in known:
                raise ConfigError(
                    f"no sample of {self.name} has a field {field!r}; there are: "
                    f"{', '.join(sorted(known))}{suggestion(field, known)}"
                )

    def _bits(self, index: ShardIndex) -> tuple[int, int]:
        """(bits of pictures, bits of captions): a sample needs one of each."""
        bits = index.about["bits"]
        pictures = [self.image_column] if self.image_column else index.about["fields"]
        pictures = [name for name in pictures if ending_of(name) in PICTURES]
        texts = list(self.texts.names)
        if self.class_names:
            texts += [self.label_field, OWN_JSON]
        found = [sum({bits.get(name, 0) for name in x}) for x in (pictures, texts)]
        in_json = any(member_of(name)[1] for name in self.texts.names)
        return found[0], found[1] | (UNKNOWN if in_json else 0)

    def _kept(self, index: ShardIndex, has: np.ndarray) -> np.ndarray:
        """bool [N]: which samples have a picture and a caption."""
        pictures, captions = (np.uint64(bits) for bits in self._bits(index))
        return (has & pictures != 0) & (has & captions != 0)

    def _count(self) -> None:
        """Without reading the arrays of a shard: its index counts equal sets."""
        dropped, sizes = Counter(), []
        for index in self._indices:
            pictures, captions = self._bits(index)
            kept = 0
            for mask, count in index.about["masks"].items():
                if not int(mask) & pictures:
                    dropped["image_missing"] += count
                elif not int(mask) & captions:
                    dropped["caption_missing"] += count
                else:
                    kept += count
            dropped.update(index.about["dropped"])
            sizes.append(kept)
        self.dropped = +dropped
        self.blocks = np.cumsum(sizes, dtype=np.int64)
        if not self.blocks[-1]:
            known = {name for index in self._indices for name in index.about["bits"]}
            raise ConfigError(
                f"{self.name} has no sample with a picture and a caption (left out: "
                f"{dict(self.dropped)}); its fields are: {', '.join(sorted(known))}. "
                "Set captions to those that hold text, or class_names for labels"
            )

    def _take_fingerprint(self) -> None:
        """The bytes of every shard, and the settings that choose among its samples."""
        settings = (self.texts.names, self.image_column, bool(self.class_names))
        parts = zip(self._shard_names, self._indices, strict=True)
        self.fingerprint = {
            name: digest(index.size, index.about["crc"]) for name, index in parts
        } | {"fields": digest(str(settings))}

    def _open_shard(self, number: int) -> _Shard:
        index = self._indices[number]
        return _Shard(index, functools.partial(self._kept, index))

    def __len__(self) -> int:
        return int(self.blocks[-1])

    def __getitem__(self, index: int) -> Example:
        """Raises BadSample when the picture or the captions cannot be used."""
        number, own = locate(self.blocks, index)
        try:
            shard = self._open[number]
        except (OSError, ValueError) as error:  # somebody deleted its index
            raise BadSample("image_unreadable", f"index of a shard: {error}") from error
        row = shard.row(own)
        name = f"{self._shard_names[number]}/{shard.key(row)}"
        return dataclasses.replace(self._example(shard, row), name=name)

    def _example(self, shard: _Shard, row: int) -> Example:
        members, has = shard.members(row), int(shard.arrays["has"][row])
        picture = self.image_column or next(
            field for field in members if ending_of(field) in PICTURES
        )
        if members[picture][1] > LIMITS["image"]:
            raise BadSample("image_too_large", f"{members[picture][1]:,} bytes")
        fields = self._text_fields(shard, has)
        own = bool(shard.bits.get(OWN_JSON, 0) & has)
        wanted = {self.label_field, *(member_of(field)[0] for field in fields)}
        wanted |= {JSON} if own else set()
        most = LIMITS["caption"] + 1  # enough to be refused as too long
        spans = {f: (at, min(n, most)) for f, (at, n) in members.items() if f in wanted}
        data = self._files.read_together(shard.url, spans | {picture: members[picture]})
        known = self._own(data[JSON]) if own else {}
        label, labels = self._labels(data.get(self.label_field), known)
        known |= {"label": label, "labels": labels}
        named = labels if label is None else (label,)
        if not fields and self.class_names and named is not None:
            texts = tuple(text for n in named for text in self.classes.captions(n))
            captions = Captions(texts, ())
        else:
            captions = self._captions(fields, data, known)
        known |= captions._asdict()
        return Example(image=data[picture], **known)

    def _text_fields(self, shard: _Shard, has: int) -> list[str]:
        """Where to look for the captions of a sample."""
        return self.texts.candidates(shard.bits, has)

    def _captions(self, fields: list[str], data: dict, known: dict) -> Captions:
        found = self.texts.read(fields, data)
        weights = known.get("caption_weights", ())
        usual = self.texts.first_only and fields[0] == USUAL_CAPTIONS[0]
        if usual and len(weights) == len(found.captions):
            return found._replace(caption_weights=weights)
        return found

    def _own(self, member: bytes) -> dict[str, Any]:
        """What `prepare` has written beside the picture."""
        try:
            return from_json(read_json(member))
        except ValueError as error:
            raise BadSample("caption_unreadable", f"JSON: {error}") from error

    def _labels(
        self, member: bytes | None, known: dict
    ) -> tuple[int | None, tuple[int, ...] | None]:
        """(label, labels): the number in a .cls member, or else what the JSON has."""
        label, labels = known.get("label"), known.get("labels")
        for each in labels or ():
            self.classes.check(each)
        if member is not None:
            try:
                label = int(member)
            except ValueError:
                label = None
        if label is None and member is None:
            return None, labels
        return self.classes.check(label, member), labels
