"""Which members and JSON keys of a shard's samples are captions."""

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from vlp_jax.core.errors import BadSample, ConfigError
from vlp_jax.data.captions import clean_caption, usable
from vlp_jax.data.files import LIMITS
from vlp_jax.data.shards.index import UNKNOWN

IN_JSON = re.compile(r"((?:.*\.)?json)\.(.+)")


class Captions(NamedTuple):
    """Captions of a sample, and how often each is drawn; () for all alike."""

    captions: tuple[str, ...]
    caption_weights: tuple[float, ...]


def member_of(name: str) -> tuple[str, str | None]:
    """('json', 'caption') of 'json.caption'; ('txt', None) of 'txt'."""
    found = IN_JSON.fullmatch(name)
    return (found[1], found[2]) if found else (name, None)


def read_json(member: bytes) -> dict[str, Any]:
    """The object in a JSON member, or BadSample('caption_unreadable')."""
    try:
        content = json.loads(member)
    except (ValueError, RecursionError) as error:
        raise BadSample("caption_unreadable", f"JSON: {error}") from error
    if not isinstance(content, dict):
        raise BadSample("caption_unreadable", "JSON that is no object")
    return content


class TextFields:
    """The fields that hold captions.

    Args:
      names: such as 'txt' and 'json.caption'.
      weights: how often each field is drawn; a field that holds several captions
        shares its weight among them. None: all captions alike.
      first_only: whether the first field that a sample has is enough.
      lines: whether each line of a text file is a caption; else all are one.
    """

    def __init__(
        self,
        names: tuple[str, ...],
        weights: tuple[float, ...] | None,
        first_only: bool,
        lines: bool = False,
    ):
        if not names or not all(isinstance(name, str) for name in names):
            problem = f"captions is {names}; expected names of fields"
            raise ConfigError(f"{problem}, such as ('txt', 'json.caption')")
        self.names, self.first_only, self.lines = names, first_only, lines
        if weights is not None and len(weights) != len(names) or first_only and weights:
            raise ConfigError(
                f"caption_weights {weights} for captions {names}; give captions, and "
                "one weight for each of them"
            )
        numbers = all(isinstance(weight, int | float) for weight in weights or ())
        if weights is not None and not (
            numbers and min(weights) >= 0 and 0 < sum(weights) < math.inf
        ):
            raise ConfigError(
                f"caption_weights is {weights}; expected positive numbers"
            )
        self.weights = None if weights is None else tuple(map(float, weights))

    def candidates(self, bits: Mapping[str, int], has: int) -> list[str]:
        """The fields to look at in a sample that has the members and texts `has`."""
        maybe = bool(has & UNKNOWN)
        found = [
            name
            for name in self.names
            if bits.get(name, 0) & has or (maybe and member_of(name)[1])
        ]
        return found[:1] if self.first_only and not maybe else found

    def read(self, candidates: list[str], members: Mapping[str, bytes]) -> Captions:
        """The clean captions of these fields.

        What cannot be used of several is skipped; when none is left, the first reason
        is raised as BadSample.
        """
        texts, weights, reasons = [], [], []
        for name in candidates:
            try:
                found = self._field(name, members)
            except BadSample as error:
                reasons.append(error)
                continue
            texts += found
            if self.weights is not None:
                weight = self.weights[self.names.index(name)]
                weights += [weight / len(found)] * len(found)
            if self.first_only:
                break
        if not texts:
            raise reasons[0] if reasons else BadSample("caption_missing")
        if not sum(weights):  # all that are left weigh nothing
            weights = []
        return Captions(tuple(texts), tuple(weights))

    def _field(self, name: str, members: Mapping[str, bytes]) -> list[str]:
        """At least one caption, or BadSample."""
        member, key = member_of(name)
        if member not in members:
            raise BadSample("caption_missing", member)
        data = members[member]
        if len(data) > LIMITS["caption"]:
            raise BadSample("caption_too_long", f"{member}, {len(data):,} bytes")
        if key is None:
            try:
                text = data.decode("utf-8-sig")
            except UnicodeDecodeError as error:
                raise BadSample("caption_unreadable", f"{member}: {error}") from error
            if not self.lines:
                return [clean_caption(text)]
            values = text.splitlines()
        else:
            value = read_json(data).get(key)
            values = value if isinstance(value, list) else [value]
        dropped = Counter()
        found = list(usable((v for v in values if isinstance(v, str)), dropped))
        if not found:
            raise BadSample(max(dropped, default="caption_missing"), name)
        return found
