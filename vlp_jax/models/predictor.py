"""A trained model as evaluators see it: pictures and strings in, embeddings out.

And, where the model can, whether they match, captions, and answers to questions.
"""

import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.sharding import Mesh

from vlp_jax.core.errors import ConfigError
from vlp_jax.core.lookup import lookup
from vlp_jax.core.types import PyTree
from vlp_jax.models.abilities import (
    EMBEDDED,
    LACKING,
    abilities,
    prompt_inputs,
    writes_answers,
)
from vlp_jax.models.attention_map import (
    as_grid,
    cross_attentions,
    layer_at,
    places,
    relevance,
)
from vlp_jax.models.batches import Batches
from vlp_jax.models.pictures import Pictures, check_pairs
from vlp_jax.models.ranking import likeliest
from vlp_jax.models.writer import QUESTION, Writer


class ModelPredictor:
    """Works on all devices of a mesh, in batches of one compiled shape.

    On several processes each gives the same rows, works on those of its devices, and
    gets the results for all.

    Args:
      model: a module with the outputs image_embedding and text_embedding, or others
        (see `can`).
      variables: its variables; `with_variables` swaps them without compiling again.
      prepare_image: picture (bytes, array or PIL) -> uint8 [S, S, 3]; raises BadSample.
      tokenize: texts -> (tokens int32 [n, L], mask bool [n, L]); to write texts, a
        Tokenizer.
      mesh: the devices to share the work.
      batch_size: rows of one call, rounded up to what the devices divide.
      answers: the classes of answers, by their number.
      class_names: those of the model's class_logits, where it was trained to tell them.
    """

    def __init__(
        self,
        model: nn.Module,
        variables: dict[str, PyTree],
        prepare_image: Callable[[Any], np.ndarray],
        tokenize: Callable[[Sequence[str]], tuple[np.ndarray, np.ndarray]],
        mesh: Mesh,
        batch_size: int,
        answers: Sequence[str] = (),
        class_names: Sequence[str] = (),
    ):
        self.variables, self.mesh, self.model = variables, mesh, model
        self.prepare_image, self.tokenize = prepare_image, tokenize
        self.answers, self.class_names = tuple(answers), tuple(class_names)
        self._batches = Batches(mesh, batch_size)
        program = partial(self._batches.program, model)
        self._image = program("image_embedding", "image")
        self._text = program("text_embedding", *QUESTION)
        self._tokens = program("image_tokens", "image")
        self._match = program("match", "image_tokens", *QUESTION, then=probability)
        self._answers = program("answer_logits", "image", *QUESTION)
        self._classes = program("class_logits", "image", *prompt_inputs(model))
        self._text_classes = program("class_logits", *QUESTION)
        self._writer = Writer(model, tokenize, self._batches.places)
        self._relevance = jax.jit(
            partial(relevance, model),
            static_argnums=1,
            out_shardings=self._batches.places,
        )

    @property
    def batch_size(self) -> int:
        """Rows of one call: those asked for, rounded up to what the devices divide."""
        return self._batches.size

    def with_variables(self, variables: dict[str, PyTree]) -> "ModelPredictor":
        """The same compiled functions under other weights."""
        other = copy.copy(self)
        other.variables = variables
        return other

    def can(self, name: str) -> bool:
        """Whether the model can 'embed', 'match', 'attend', 'generate', 'answer',
        'classify' or 'classify_text'."""
        able = abilities(self.model, self.answers)
        able["context"] = bool(getattr(self.tokenize, "has_context", False))
        able["attend"] = able["match"] and bool(cross_attentions(self.variables))
        return lookup(able, name, "ability of a model")

    def _check(self, name: str) -> None:
        if not self.can(name):
            who = type(self.model).__name__
            raise ConfigError(f"a {who} cannot {name}: {LACKING[name]}")

    def _check_context(self, texts: Sequence[str]) -> None:
        unknown = self.tokenize.unknown_context(texts)
        if unknown:
            raise ConfigError(
                f"this model has not learned {', '.join(unknown[:4])}; use its own "
                "template and, where words are each class's own, its own classes"
            )

    def encode_image(self, images: np.ndarray) -> np.ndarray:
        """uint8 [n, S, S, 3] -> float32 [n, E], L2-normalised."""
        self._check("embed")
        return self._encode(self._image, len(images), lambda part: [images[part]])

    def encode_text(self, texts: Sequence[str]) -> np.ndarray:
        """n strings -> float32 [n, E], L2-normalised."""
        self._check("embed")
        texts = list(texts)
        if self.can("context"):
            self._check_context(texts)
        return self._encode(
            self._text, len(texts), lambda part: self.tokenize(texts[part])
        )

    def classify(self, images: Pictures, prompts: Sequence[str] = ()) -> np.ndarray:
        """uint8 [n, S, S, 3] -> float32 [n, classes], the scores of classes.

        prompts: of each class, for a model that compares pictures with prompts.
        """
        self._check("classify")
        given: tuple[np.ndarray, ...] = ()
        if prompt_inputs(self.model):
            self._check_context(prompts)
        if prompt_inputs(self.model) == EMBEDDED:
            given = (self.encode_text(prompts),)
        elif prompt_inputs(self.model):
            tokens, mask = self.tokenize(list(prompts))
            given = tokens, mask, self.tokenize.is_context(tokens)
        given = jax.device_put(given, self._batches.places)

        def classes(variables, pictures):
            return self._classes(variables, pictures, *given)

        return self._encode(classes, len(images), lambda part: [images[part]])

    def classify_text(self, texts: Sequence[str]) -> np.ndarray:
        """n strings -> float32 [n, classes], the scores of classes."""
        self._check("classify_text")
        texts = list(texts)
        if not texts:
            return np.zeros((0, len(self.class_names)), np.float32)
        return self._encode(
            self._text_classes, len(texts), lambda part: self.tokenize(texts[part])
        )

    def image_tokens(self, images: Pictures) -> np.ndarray:
        """uint8 [n, S, S, 3] -> what `match` compares texts with, [n, N, W]."""
        self._check("match")
        return self._encode(self._tokens, len(images), lambda part: [images[part]])

    def match(self, image_tokens: np.ndarray, texts: Sequence[str]) -> np.ndarray:
        """[n, N, W] and a string for each -> float32 [n]: how likely they match."""
        self._check("match")
        texts = list(texts)
        check_pairs(image_tokens, texts, "texts")

        def rows_of(part):
            return image_tokens[part], *self.tokenize(texts[part])

        return self._encode(self._match, len(texts), rows_of)

    def attention_map(
        self,
        image: np.ndarray,
        text: str,
        word: str | None = None,
        layer: int | None = None,
    ) -> np.ndarray:
        """Where the model looks to see whether a text fits a picture, uint8 [S, S, 3].

        float32 [rows, columns] over the grid of patches, 0 where nothing speaks for a
        match; see `relevance`. For a word of the text, or as a mean over all of it.
        layer: of those in which texts look at pictures, from 0; None: the middle one.
        """
        self._check("match")
        path = layer_at(self.variables, layer, type(self.model).__name__)
        rows = image[None], *self.tokenize([text])
        found = self._relevance(self.variables, path, *rows)
        of_word = np.asarray(found)[0, places(self.tokenize, text, word)]
        return as_grid(of_word.mean(axis=0))

    def generate(
        self, pictures: Pictures, prompt: str = "", seed: int = 0, **decoding
    ) -> list[str]:
        """uint8 [n, S, S, 3] -> a text for each, without the prompt it goes on from.

        seed: of samples. decoding: settings of `Decoding`, as length=20, beams=3.
        """
        self._check("generate")
        if not len(pictures):
            return []
        start = self._writer.prompt(prompt)
        settings = self._writer.decoding(decoding, len(start))
        return self._written(
            len(pictures), lambda part: [pictures[part]], start, settings, seed
        )

    def answer(
        self,
        pictures: Pictures,
        questions: Sequence[str],
        candidates: Sequence[str] | None = None,
        keep: int = 128,
        **decoding,
    ) -> list[str]:
        """uint8 [n, S, S, 3] and a question for each -> the answers.

        By a decoder what it writes (see `generate`) or, of candidates, the likeliest
        one of the `keep` with the likeliest first tokens; by a model that has classes
        of answers instead the likeliest of them, or of the candidates among them.
        """
        self._check("answer")
        questions = list(questions)
        check_pairs(pictures, questions, "questions")
        if not questions:
            return []
        by_decoder = writes_answers(self.model)
        if decoding and (candidates is not None or not by_decoder):
            raise ConfigError(
                f"answers are chosen from a list here, not written; leave out "
                f"{', '.join(decoding)}"
            )

        def rows_of(part):
            return pictures[part], *self.tokenize(questions[part])

        if not by_decoder:
            logits = self._encode(self._answers, len(questions), rows_of)
            return likeliest(logits, self.answers, candidates)
        if candidates is None:
            start = self._writer.prompt("")
            settings = self._writer.decoding(decoding, len(start))
            return self._written(len(questions), rows_of, start, settings)
        tokens, mask = self._writer.with_start(candidates)

        def rank(variables, *rows):
            return self._writer.rank(variables, keep, tokens, mask, *rows)

        best = self._encode(rank, len(questions), rows_of)
        return [candidates[i] for i in best]

    def _written(self, size, rows_of, start, settings, seed=0) -> list[str]:
        """What the model writes about the rows, each from the tokens of `start` on."""

        def with_starts(part):
            rows = rows_of(part)
            numbers = np.arange(part.start, part.start + len(rows[0]), dtype=np.int32)
            return np.tile(start, (len(numbers), 1)), numbers, *rows

        def write(variables, *rows):
            return self._writer.write(variables, settings, np.uint32(seed), *rows)

        return self._writer.texts(self._encode(write, size, with_starts))

    def _encode(self, function: Callable, size: int, rows_of: Callable) -> np.ndarray:
        return self._batches.run(function, self.variables, size, rows_of)


def probability(logits: jax.Array) -> jax.Array:
    """Of a match: [n, 2] -> float32 [n]."""
    return jax.nn.softmax(logits.astype(jnp.float32))[:, 1]
