"""BLIP writes what HF's `generate` writes: captions, prompted ones, and answers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models import blip_pair
from tests.models.blip_pair import ANSWERING, CAPTIONING, END, LENGTH, PADDING, WORDS
from vlp_jax.models.decoding import Decoding
from vlp_jax.models.generate import generate
from vlp_jax.models.outputs import inference
from vlp_jax.models.writer import decoder

ROWS = 4
BEAMS = dict(method="beam", beams=3)
GREEDY = dict(method="greedy")


def ours(kind, start, decoding, **given):
    """Tokens [ROWS, length] that follow the start."""
    model, variables = blip_pair.our_model(kind), {"params": blip_pair.params(kind)}
    beams = decoding.beams if decoding.method == "beam" else 1

    @jax.jit
    def write(variables, given, start):
        context = inference(model, "start")(variables, **given)
        step, cache = decoder(model, variables, context, beams)
        return generate(step, cache, start, decoding)

    return np.asarray(write(variables, given, jnp.asarray(start)))


def theirs(kind, decoding, prompt, **given):
    """The same of HF, of whose text the first `prompt` tokens are no part."""
    import torch

    model = blip_pair.hf_model(kind).float()
    pixels = torch.tensor(given.pop("image").transpose(0, 3, 1, 2) / 127.5 - 1)
    found = model.generate(
        pixel_values=pixels.float(),
        **{name: torch.tensor(x).long() for name, x in given.items()},
        num_beams=decoding.beams if decoding.method == "beam" else 1,
        do_sample=False,
        max_new_tokens=decoding.length,
    ).numpy()[:, prompt:]
    missing = decoding.length - found.shape[1]
    return np.pad(found, ((0, 0), (0, missing)), constant_values=PADDING)


@pytest.mark.long
@pytest.mark.parametrize("settings", [BEAMS, GREEDY], ids=["beams", "greedy"])
@pytest.mark.parametrize("prompt", [(), (5, 9)], ids=["", "prompted"])
def test_captions(prompt, settings):
    start = np.array([[WORDS, *prompt]] * ROWS, np.int32)
    room = LENGTH + 1 - start.shape[1]
    decoding = Decoding(END, PADDING, length=room, **settings)
    image = blip_pair.pictures(ROWS)
    found = ours(CAPTIONING, start, decoding, image=jnp.asarray(image))
    given = {}
    if prompt:  # which ends with a token that HF takes off
        ends = np.full((ROWS, 1), END)
        given["input_ids"] = np.concatenate([start, ends], axis=1)
    expected = theirs(CAPTIONING, decoding, start.shape[1], image=image, **given)
    np.testing.assert_array_equal(found, expected)
    assert len({tuple(row) for row in found.tolist()}) > 1


def test_answers():
    """To questions without padding: HF's decoder would look at it."""
    image, rng = blip_pair.pictures(ROWS), np.random.default_rng(7)
    questions = rng.integers(3, WORDS, (ROWS, 6)).astype(np.int32)
    decoding = Decoding(END, PADDING, length=6, **BEAMS)
    start = np.full((ROWS, 1), WORDS, np.int32)
    given = dict(
        image=jnp.asarray(image),
        text_tokens=jnp.asarray(questions),
        text_mask=jnp.ones((ROWS, 6), bool),
    )
    found = ours(ANSWERING, start, decoding, **given)
    asked = dict(input_ids=questions, attention_mask=np.ones((ROWS, 6)))
    expected = theirs(ANSWERING, decoding, 1, image=image, **asked)
    np.testing.assert_array_equal(found, expected)
    assert len({tuple(row) for row in found.tolist()}) > 1
