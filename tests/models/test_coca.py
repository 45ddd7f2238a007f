"""CoCa: open_clip's numbers, what is computed from what, and published sizes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models import coca_pair
from tests.models.comparison import error
from vlp_jax.core import trees
from vlp_jax.core.errors import ConfigError
from vlp_jax.core.types import Need
from vlp_jax.models import sizes
from vlp_jax.models.coca import Coca
from vlp_jax.models.coca_layers import CocaFusion, CocaText
from vlp_jax.models.outputs import compute_outputs, inference
from vlp_jax.models.text import TextTransformer
from vlp_jax.models.vit import ViT


@functools.cache
def some_variables():
    weights = coca_pair.weights(coca_pair.our_model())
    return {"params": jax.tree.map(jnp.asarray, trees.unflatten(weights))}


@functools.cache
def outputs():
    model = coca_pair.our_model()
    given = map(jnp.asarray, (coca_pair.pictures(), *coca_pair.captions()))
    return jax.jit(model.apply)(some_variables(), *given)


def batch():
    tokens, mask = coca_pair.captions()
    arrays = {"image": coca_pair.pictures(), "text_tokens": tokens, "text_mask": mask}
    return {"pairs": jax.tree.map(jnp.asarray, arrays)}


@pytest.mark.parametrize("name", coca_pair.OPEN_CLIP)
def test_literal_numbers_of_open_clip(name):
    found = coca_pair.literal(outputs())[name]
    np.testing.assert_allclose(found, coca_pair.OPEN_CLIP[name], rtol=2e-5, atol=2e-6)


def test_a_step_computes_what_a_call_gives():
    names = ("image_embedding", "text_embedding", "caption_logits", "logit_scale")
    compute = compute_outputs(coca_pair.our_model())
    needs = [Need(name) for name in names]

    def run(variables, batch):
        return compute({"live": variables}, needs, batch, jax.random.key(0))[0]

    found = jax.jit(run)(some_variables(), batch())
    for name in names[:3]:
        assert error(found[Need(name)], outputs()[name]) <= 1e-6, name
    assert found[Need("logit_scale")] == some_variables()["params"]["logit_scale"]


def test_the_embedding_is_the_first_query_and_captions_see_the_others():
    model, names = coca_pair.our_model(), ("image_embedding", "fused_states")
    queries = jax.random.normal(jax.random.key(0), (2, 5, 12))
    states = jax.random.normal(jax.random.key(1), (2, 4, 12))

    @jax.jit
    def run(queries):
        given = {"image_queries": queries, "text_states": states}
        return [inference(model, name)(some_variables(), **given) for name in names]

    (embedding, fused), (changed, same) = run(queries), run(queries.at[:, 0].add(1))
    assert error(changed, embedding) > 0.01
    np.testing.assert_array_equal(same, fused)
    same, changed = run(queries.at[:, 1:].add(jnp.arange(12.0)))
    np.testing.assert_array_equal(same, embedding)
    assert error(changed, fused) > 0.01


def test_texts_are_written_with_the_scores_of_whole_texts():
    model, variables = coca_pair.our_model(), some_variables()
    tokens, mask = coca_pair.captions()
    memory = inference(model, "start")(variables, image=batch()["pairs"]["image"])
    assert memory.shape == (5, 5, 12)

    @jax.jit
    def step(cache, newest, position):
        return model.apply(
            variables | cache,
            memory,
            newest,
            position,
            method="next_logits",
            mutable=["cache"],
        )

    cache, expected = {}, outputs()["caption_logits"]
    for position in range(coca_pair.LENGTH):
        newest = jnp.asarray(tokens[:, position : position + 1])
        logits, cache = step(cache, newest, position)
        rows = mask[:, position] & (np.arange(5) != 2)  # where padding is no word
        assert error(logits[rows], expected[rows, position]) <= 1e-5
    assert {len(x) for x in jax.tree.leaves(cache)} == {5}


def published(image, text, embedding):
    words = dict(length=76, **sizes.text(text))
    model = Coca(
        ViT(image_size=224, **sizes.vit(image)),
        CocaText(vocab_size=49_408, pad_id=0, **words),
        CocaFusion(**words),
        vocab_size=49_408,
        embedding_size=embedding,
        image_mean=(0.5,) * 3,
        image_std=(0.5,) * 3,
    )
    images = jax.ShapeDtypeStruct((2, 224, 224, 3), np.uint8)
    tokens = jax.ShapeDtypeStruct((2, 76), np.int32)
    variables = jax.eval_shape(model.init, jax.random.key(0), images, tokens)
    return variables, jax.eval_shape(model.apply, variables, images, tokens)


@pytest.mark.parametrize(
    ("image", "text", "embedding", "parameters"),
    [("B/32", "B", 512, 253_560_065), ("L/14", "L", 768, 638_450_177)],
)
def test_parameters_of_open_clips_models(image, text, embedding, parameters):
    """coca_ViT-B-32 and coca_ViT-L-14."""
    variables, found = published(image, text, embedding)
    assert trees.count(variables) == parameters
    assert found["caption_logits"].shape == (2, 76, 49_408)


def test_parts_that_do_not_fit():
    model = coca_pair.our_model()

    def init(**parts):
        given = coca_pair.pictures(), *coca_pair.captions()
        jax.eval_shape(model.clone(**parts).init, jax.random.key(0), *given)

    plain = TextTransformer(vocab_size=40, length=9, eos_id=3, **coca_pair.TEXT)
    with pytest.raises(ConfigError, match="set model.text.kind='coca_text' and"):
        init(text=plain)
    other = dict(coca_pair.TEXT, width=24)
    with pytest.raises(ConfigError, match="fusion.width is 24, .* from has 12; set"):
        init(fusion=CocaFusion(length=9, **other))
    with pytest.raises(ConfigError, match="model.queries is 1; expected at least 2"):
        init(queries=1)
