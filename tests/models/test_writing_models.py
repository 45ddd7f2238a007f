"""Every model that captions: with its cache it writes what it does without."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models import writing_models
from tests.models.coca_pair import LENGTH, PADDING
from tests.models.resnet_pair import drawn
from vlp_jax.core import trees
from vlp_jax.models.abilities import abilities
from vlp_jax.models.decoding import Decoding
from vlp_jax.models.generate import generate
from vlp_jax.models.outputs import inference
from vlp_jax.models.writer import decoder

ROWS = 3


def without_cache(model, variables, image):
    """A step that reads the whole text again, and its memory."""
    rows = len(image)

    def step(memory, tokens, position):
        text = jax.lax.dynamic_update_slice_in_dim(
            memory["text"], tokens, position, axis=1
        )
        # Padding is no word here: CoCa would hide what follows it.
        later = jnp.where(jnp.arange(LENGTH) <= position, text, 1)
        logits = inference(model, "caption_logits")(
            variables, image=memory["image"], text_tokens=later
        )
        return logits[:, position], {"text": text, "image": memory["image"]}

    return step, {"text": jnp.ones((rows, LENGTH), jnp.int32), "image": image}


def never_padding(step):
    """The same step, that never tells to write padding."""

    def changed(memory, tokens, position):
        logits, memory = step(memory, tokens, position)
        return logits.at[:, PADDING].set(-1e9), memory

    return changed


@pytest.mark.parametrize("kind", writing_models.MODELS)
def test_beams_of_a_model_with_and_without_its_cache(kind):
    model = writing_models.MODELS[kind]()
    given = {k: jnp.asarray(x) for k, x in writing_models.batch().items()}
    arrays = given["image"], given["text_tokens"], given["text_mask"]
    shapes = jax.eval_shape(model.init, jax.random.key(0), *arrays)
    weights = drawn(trees.flatten(shapes["params"]))
    for path in weights:  # so that pictures matter more than habits
        weights[path] *= 5 if "cross_attention/out/kernel" in path else 1
    variables = {"params": jax.tree.map(jnp.asarray, trees.unflatten(weights))}
    decoding = Decoding(
        eos_id=writing_models.END, pad_id=PADDING, length=LENGTH - 1, beams=3
    )
    first = jnp.full((ROWS, 1), writing_models.START)
    image = given["image"][:ROWS]

    @jax.jit
    def both(variables, image):
        context = inference(model, "start")(variables, image=image)
        with_it = decoder(model, variables, context, beams=3)
        runs = with_it, without_cache(model, variables, image)
        return [
            generate(never_padding(step), memory, first, decoding)
            for step, memory in runs
        ]

    found, expected = both(variables, image)
    np.testing.assert_array_equal(found, expected)
    assert len(np.unique(found, axis=0)) > 1  # of other pictures other texts
    assert abilities(model, ())["generate"]
    assert abilities(model, ())["embed"] == (kind == "coca")
    assert not abilities(model, ())["answer"] and not abilities(model, ())["match"]
