"""What a page answers: HTML of pictures, scores and sentences, every text escaped."""

import functools
import itertools
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.special import softmax

from vlp_jax.core.errors import BadSample, ConfigError, RunError
from vlp_jax.core.pages import data_uri, render
from vlp_jax.data.files import read_file
from vlp_jax.data.transforms.image import decode_image, open_bytes
from vlp_jax.encoder import Encoder
from vlp_jax.evaluation import attention, prompts
from vlp_jax.evaluation.zero_shot import class_weights
from vlp_jax.showing.index import THREADS, Index
from vlp_jax.showing.pictures import Pictures

ASSETS = Path(__file__).parent / "assets"
SHOWN = 24  # pictures or texts of an answer
THUMBNAIL, SAMPLE = 320, 1024  # pixels of the longer side
MOST_TEXTS = 1000  # typed into a field


def html(template: str, **values: Any) -> str:
    """A template of this folder; bytes of file names that are no text show as \\x.."""
    page = render(ASSETS / template, **values)
    return page.encode("utf-8", "backslashreplace").decode("utf-8")


def result(**values: Any) -> str:
    """An answer: of problem, note, sentence, rows and pictures what there is."""
    empty = dict.fromkeys(("problem", "note", "sentence", "rows", "pictures"))
    return html("results.html", **empty | values)


def explained(answer: Callable[..., str]) -> Callable[..., str]:
    """What a person can mend is said in the place of the answer."""

    @functools.wraps(answer)
    def guarded(*arguments) -> str:
        try:
            return answer(*arguments)
        except BadSample as error:
            said = error.cause.replace("_", " ")
            return result(problem=f"This picture cannot be used: {said}.")
        except (ConfigError, RunError) as error:
            return result(problem=str(error))

    return guarded


class Views:
    """Answers of a model about pictures.

    A `picture` is the path of a file, or None where there is none yet. Each method
    returns HTML; what is missing or wrong is said in it.

    Args:
      index: of the pictures; None for a model without embeddings.
      texts: what pictures are compared with where nothing is typed.
    """

    def __init__(
        self,
        encoder: Encoder,
        pictures: Pictures,
        index: Index | None,
        texts: Sequence[str] = (),
    ):
        self.encoder, self.pictures, self.index = encoder, pictures, index
        self.texts = tuple(texts)
        self._text_rows = None
        if encoder.can("embed"):
            many = len(self.texts) > MOST_TEXTS
            self._text_rows = encoder.encode_text(self.texts, progress=many)
        order = np.random.default_rng(0).permutation(self._usable())
        self._samples = itertools.cycle(order.tolist())

    def _usable(self) -> Sequence[int]:
        if self.index is not None:
            return self.index.numbers
        return range(len(self.pictures.names))

    def first(self) -> str:
        """Some of the pictures, before anything was asked."""
        numbers = list(self._usable())[:SHOWN]
        total = len(self._usable())
        note = f"{total:,} pictures; the first {len(numbers)}:" if total else None
        return result(note=note, pictures=self._shown([(n,) for n in numbers]))

    def sample(self) -> Image.Image | None:
        """Another of the pictures at each call."""
        for number in itertools.islice(self._samples, len(self._usable())):
            try:
                return reduced(self.pictures.read(number), SAMPLE)
            except BadSample:  # it was gone or changed after the start
                continue
        return None

    @explained
    def search(self, words: str) -> str:
        """The pictures that fit words, the best first."""
        if not words.strip():
            return self.first()
        (query,) = self.encoder.encode_text([words])
        return self._gallery(query)

    @explained
    def similar(self, picture: str | None) -> str:
        """The pictures nearest to one."""
        (query,) = self.encoder.encode_image([opened(picture)])
        return self._gallery(query)

    @explained
    def describe(self, picture: str | None, typed: str) -> str:
        """Texts by how well they fit a picture: those typed, or those given."""
        image, texts = opened(picture), lines(typed) or self.texts
        if not texts:
            raise ConfigError("Type some texts, one a line.")
        if self.encoder.can("embed"):
            rows = self._text_rows if texts is self.texts else None
            rows = self.encoder.encode_text(texts) if rows is None else rows
            scores = rows @ self.encoder.encode_image([image])[0]
            what = "cosine"
        else:
            scores, what = self.encoder.match([image], texts), "probability of a match"
        best = np.argsort(-scores, kind="stable")[:SHOWN]
        note = f"{len(texts):,} texts, by {what}"
        return result(note=note, rows=[bar(texts[i], scores[i]) for i in best])

    @explained
    def classify(self, picture: str | None, typed: str = "", template: str = "") -> str:
        """Probabilities of labels, zero-shot: by prompts made with each of them.

        Of a model with a head those of its own classes.
        """
        image, labels = opened(picture), lines(typed, commas=True)
        if not self.encoder.can("embed"):
            labels = self.encoder.class_names
            shares = self.encoder.classify([image])[0]
        elif len(labels) < 2:
            raise ConfigError("Type two labels or more, one a line or with commas.")
        else:
            chosen = template if template in prompts.names() else (template or "",)
            rows = class_weights(self.encoder, labels, prompts.templates(chosen))
            logits = rows @ self.encoder.encode_image([image])[0]
            shares = softmax(self.encoder.logit_scale * logits)
        best = np.argsort(-shares, kind="stable")[:SHOWN]
        return result(rows=[bar(labels[i], shares[i], percent=True) for i in best])

    @explained
    def caption(self, picture: str | None, start: str) -> str:
        """A sentence about a picture, that begins as told."""
        image, start = opened(picture), start.strip()
        (text,) = self.encoder.generate([image], start)
        return result(sentence=f"{start} {text}".strip() or "(nothing)")

    @explained
    def ask(self, picture: str | None, question: str) -> str:
        """The answer to a question about a picture."""
        image = opened(picture)
        if not question.strip():
            raise ConfigError("Type a question.")
        (text,) = self.encoder.answer([image], [question.strip()])
        return result(sentence=text or "(nothing)")

    @explained
    def look(self, picture: str | None, text: str) -> str:
        """Where the model looks for each word of a text, as heat over the picture."""
        image = opened(picture)
        if not text.strip():
            raise ConfigError("Type what the picture shows.")
        seen = self.encoder.prepare_image(image)
        found = attention.word_maps(self.encoder, seen, text)
        if not found:
            raise ConfigError("None of these words is one that a picture shows.")
        drawn = [
            {"name": x["word"]} | data_uri(attention.overlay(seen, x["heat"]), True)
            for x in found
        ]
        return result(pictures=drawn)

    def _gallery(self, query: np.ndarray) -> str:
        found = self.index.nearest(query, SHOWN)
        if not found:
            raise ConfigError("There is no picture that can be read.")
        return result(pictures=self._shown(found))

    def _shown(self, found: Sequence[tuple]) -> list[dict[str, Any]]:
        """What the gallery draws of (number,) or (number, score)."""
        with ThreadPoolExecutor(THREADS) as pool:
            drawn = pool.map(self._drawn, (number for number, *_ in found))
        return [
            picture | ({"score": score[0]} if score else {})
            for picture, (_, *score) in zip(drawn, found, strict=True)
            if picture is not None
        ]

    def _drawn(self, number: int) -> dict[str, Any] | None:
        """A picture to show; None when it was gone or changed after the start."""
        try:
            image = reduced(self.pictures.read(number), 2 * THUMBNAIL)
        except BadSample:
            return None
        name = self.pictures.names[number]
        return {"name": name} | data_uri(np.asarray(image), side=THUMBNAIL)


def reduced(picture: bytes | np.ndarray, side: int) -> Image.Image:
    """A picture of at most so many pixels a side, of a JPEG not all of them decoded."""
    image = open_bytes(picture) if isinstance(picture, bytes) else picture
    if isinstance(image, Image.Image):
        image.draft("RGB", (side, side))
    image = decode_image(image)
    image.thumbnail((side, side))
    return image


def opened(picture: str | None) -> Image.Image:
    """The picture of a file that was chosen; ConfigError before one was, BadSample."""
    if not picture:
        raise ConfigError("Choose a picture first.")
    return decode_image(read_file(Path(picture), "image"))


def lines(typed: str | None, commas: bool = False) -> tuple[str, ...]:
    """The texts typed into a field, one a line, each once."""
    parts = re.split(r"[,\n]" if commas else r"\n", typed or "")
    found = tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))
    if len(found) > MOST_TEXTS:
        raise ConfigError(f"{len(found):,} texts; type {MOST_TEXTS:,} at most.")
    return found


def bar(text: str, value: float, percent: bool = False) -> dict[str, Any]:
    """A row of a chart: the share of its width that is filled, and its value."""
    said = f"{100 * value:.1f} %" if percent else f"{value:.3f}"
    share = round(min(max(float(value), 0), 1), 4)
    return {"text": text, "share": share, "value": said}
