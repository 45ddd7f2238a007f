"""Our scores and tokens of captions beside pycocoevalcap 1.2 itself."""

import json
import random

import numpy as np
import pytest

from benchmarks.peers.side import Side
from tests.evaluation.metrics.test_caption_tokens import ALIKE
from vlp_jax.data.sources.digit_scenes import DigitScenes
from vlp_jax.evaluation.metrics.bleu import bleu
from vlp_jax.evaluation.metrics.caption_tokens import caption_tokens
from vlp_jax.evaluation.metrics.cider import cider
from vlp_jax.evaluation.metrics.rouge import rouge_l

MODULE = "tests.peers.coco_captions_side"
pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def theirs(peers, tmp_path_factory):
    """(what, guesses, references) -> what pycocoevalcap finds."""
    folder = tmp_path_factory.mktemp("coco_captions")
    with Side(peers, MODULE, {"folder": str(folder)}) as side:

        def ask(what: str, guesses, references=()) -> dict:
            given = {"guesses": list(guesses), "references": list(references)}
            (folder / "captions.json").write_text(json.dumps(given))
            return side.ask(what)

        yield ask


def corpus(seed: int, size: int, words: int, shortest: int):
    """Random captions, half of the guesses a beginning of a reference."""
    rng = random.Random(seed)
    vocabulary = [f"w{number}" for number in range(words)]

    def caption(least):
        return [rng.choice(vocabulary) for _ in range(rng.randint(least, 12))]

    references = [
        [caption(shortest) for _ in range(rng.randint(1, 5))] for _ in range(size)
    ]
    guesses = [
        caption(0) if rng.random() < 0.5 else rng.choice(own)[: rng.randint(0, 12)]
        for own in references
    ]
    return guesses, references


@pytest.mark.parametrize(
    ("size", "words", "shortest"), [(60, 5, 1), (40, 30, 0), (200, 2, 1), (1, 4, 1)]
)
@pytest.mark.parametrize("seed", range(5))
def test_scores_of_random_captions(theirs, seed, size, words, shortest):
    guesses, references = corpus(seed, size, words, shortest)
    expected = theirs(
        "scores",
        [" ".join(guess) for guess in guesses],
        [[" ".join(x) for x in own] for own in references],
    )
    assert bleu(guesses, references) == pytest.approx(expected["bleu"], abs=1e-6)
    assert rouge_l(guesses, references) == pytest.approx(expected["rouge"], abs=1e-6)
    assert cider(guesses, references) == pytest.approx(expected["cider"], abs=1e-6)
    assert size == 1 or np.mean(expected["rouge"]) > 0.2


def test_tokens_of_captions(theirs):
    """Of captions, and of what the test of tokens says to be alike."""
    scenes = DigitScenes("test", size=200)
    captions = [c for i in range(len(scenes)) for c in scenes[i].captions]
    captions += [caption for caption, _ in ALIKE]
    expected = theirs("tokens", captions)
    if not expected:
        pytest.skip("PTBTokenizer needs Java")
    assert [caption_tokens(x) for x in captions] == expected["tokens"]
