"""What a decoder writes with its cache, it would write reading all again each time."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models import tiny_writer
from tests.models.comparison import error
from tests.models.tiny_writer import PICTURES, TinyWriter
from vlp_jax.core.errors import ConfigError
from vlp_jax.models.albef import Albef
from vlp_jax.models.bert import Bert
from vlp_jax.models.decoder import BertDecoder
from vlp_jax.models.decoding import Decoding
from vlp_jax.models.fusion import BertFusion
from vlp_jax.models.generate import generate
from vlp_jax.models.outputs import inference
from vlp_jax.models.vit import ViT
from vlp_jax.models.writer import Writer, decoder

TOKENIZER = tiny_writer.tokenizer()
START = np.full((len(PICTURES), 1), TOKENIZER.bos_id, np.int32)


def step_by_step(model, variables, context, tokens):
    """Logits [n, L, V] of tokens that are given one by one."""
    step, cache = decoder(model, variables, context)

    def one(cache, at):
        logits, cache = step(cache, at[0][:, None], at[1])
        return cache, logits

    positions = jnp.arange(tokens.shape[1])
    return jax.lax.scan(one, cache, (tokens.T, positions))[1].swapaxes(0, 1)


@pytest.fixture(scope="module")
def context():
    model, variables = tiny_writer.model_and_variables()
    return jax.jit(lambda x: model.apply(variables, x, method="image_tokens"))(PICTURES)


def test_the_cache_changes_no_logit(context):
    model, variables = tiny_writer.model_and_variables()
    tokens = np.random.default_rng(1).integers(4, 260, (len(PICTURES), 12))
    tokens = jnp.asarray(tokens, jnp.int32)
    whole = jax.jit(lambda *given: model.apply(*given, method="caption_logits"))
    expected = whole(variables, context, tokens)

    found = jax.jit(functools.partial(step_by_step, model))(variables, context, tokens)
    assert error(found, expected) < 1e-5


@pytest.mark.parametrize(
    "settings",
    [dict(beams=3), dict(method="greedy", repetition_penalty=1.5)],
    ids=["beam", "greedy"],
)
def test_the_cache_changes_no_text(context, settings):
    """The same search by a step that keeps the tokens and reads all of them again."""
    model, variables = tiny_writer.model_and_variables()
    settings = Decoding(TOKENIZER.eos_id, TOKENIZER.pad_id, length=8, **settings)

    def read_again(memory, tokens, position):
        context, written = memory
        written = jax.lax.dynamic_update_slice_in_dim(written, tokens, position, 1)
        logits = model.apply(variables, context, written, method="caption_logits")
        logits = jax.lax.dynamic_index_in_dim(logits, position, 1, keepdims=False)
        return logits, (context, written)

    @jax.jit
    def both(context):
        step, cache = decoder(model, variables, context, settings.beams)
        start = jnp.asarray(START)
        room = jnp.zeros((len(start), tiny_writer.LENGTH), jnp.int32)
        return (
            generate(step, cache, start, settings),
            generate(read_again, (context, room), start, settings),
        )

    found, expected = both(context)
    np.testing.assert_array_equal(found, expected)
    assert len(np.unique(found, axis=0)) > 10


def test_the_cache_of_a_bert_that_looks_at_fused_questions():
    """ALBEF's decoder of answers: post-norm, padding of questions out of sight."""
    words = dict(vocab_size=TOKENIZER.vocab_size, length=tiny_writer.LENGTH)
    shape = dict(width=16, depth=2, heads=2)
    model = Albef(
        ViT(image_size=8, patch_size=4, **shape),
        Bert(**words, **shape),
        BertFusion(**shape),
        embedding_size=8,
        image_mean=(0.5, 0.5, 0.5),
        image_std=(0.3, 0.3, 0.3),
        decoder=BertDecoder(**words, **shape),
    )
    questions = map(jnp.asarray, TOKENIZER(tiny_writer.QUESTIONS))
    given = jnp.asarray(PICTURES), *questions
    tokens = np.random.default_rng(1).integers(4, 260, (len(PICTURES), 12))
    tokens = jnp.asarray(tokens, jnp.int32)

    @jax.jit
    def both(key):
        variables = model.init(key, *given)
        names = dict(zip(("image", "text_tokens", "text_mask"), given, strict=True))
        context = inference(model, "start")(variables, **names)
        whole = inference(model, "answer_token_logits")
        return (
            step_by_step(model, variables, context, tokens),
            whole(variables, answer_tokens=tokens, **names),
        )

    found, expected = both(jax.random.key(0))
    assert error(found, expected) < 1e-5


def writer(model=None):
    return Writer(model or tiny_writer.model_and_variables()[0], TOKENIZER, None)


def test_texts_start_as_the_model_starts_them():
    tokens, mask = writer().with_start(["a red dog", "two"])
    expected, whole = TOKENIZER(["a red dog", "two"])
    longest = whole.sum(axis=1).max()
    np.testing.assert_array_equal(tokens, expected[:, :longest])
    np.testing.assert_array_equal(mask, whole[:, :longest])
    np.testing.assert_array_equal(
        writer().prompt("a red"), TOKENIZER(["a red"])[0][0, : whole[0].sum() - 2]
    )
    np.testing.assert_array_equal(writer().prompt(""), [TOKENIZER.bos_id])


def test_a_model_has_a_start_of_its_own():
    """As BLIP's decoder, whose tokenizer starts texts with another token."""

    class Own(TinyWriter):
        start_id = 77

    model = Own(TOKENIZER.vocab_size)
    words = writer().with_start(["a dog"])[0][0, 1:]
    found = writer(model).with_start(["a dog"])[0][0]
    np.testing.assert_array_equal(found, [77, *words])


def test_what_was_written_ends_with_the_end_token():
    words = writer().with_start(["a dog"])[0][:, 1:]
    assert writer().texts(np.pad(words, ((0, 0), (0, 3)))) == ["a dog"]
    ended = np.full_like(words, TOKENIZER.pad_id)
    ended[:, 0] = TOKENIZER.eos_id
    assert writer().texts(ended) == [""]
    unknown = np.full_like(words, TOKENIZER.vocab_size + 1)  # a token of the model's
    assert writer().texts(unknown) == [""]


def test_texts_have_no_more_tokens_than_there_is_room_for():
    found = writer().decoding({}, prompt=1)
    assert (found.length, found.beams, found.eos_id, found.pad_id) == (12, 3, 3, 0)
    assert writer().decoding({"length": 5}, prompt=4).length == 5
    with pytest.raises(ConfigError, match=r"length=20 and a prompt of 3.*at most 10"):
        writer().decoding({"length": 20}, prompt=3)
    with pytest.raises(ConfigError, match=r"no setting 'beems'.*did you mean 'beams'"):
        writer().decoding({"beems": 2}, prompt=1)
