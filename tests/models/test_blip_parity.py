"""BLIP with the weights of HF's classes computes what they do, gradients too."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models import blip_pair
from tests.models.blip_pair import ANSWERING, CAPTIONING, RETRIEVAL, WORDS
from tests.models.comparison import check_gradients, error
from tests.models.hf_towers import gradients_of
from vlp_jax.models.outputs import inference

ROWS = 5
PRECISIONS = ("float", "double")


def arrays(kind):
    """Of the batch, by the names that models know."""
    tokens, mask = blip_pair.texts(ROWS)
    given = dict(image=blip_pair.pictures(ROWS), text_tokens=tokens, text_mask=mask)
    if kind == ANSWERING:
        given["answer_tokens"], given["answer_mask"] = blip_pair.texts(ROWS, seed=5)
    return given


def theirs(kind, precision):
    """(HF's model, its arguments)."""
    import torch

    model, given = getattr(blip_pair.hf_model(kind), precision)(), arrays(kind)
    pixels = given["image"].transpose(0, 3, 1, 2) / 127.5 - 1
    found = dict(
        input_ids=torch.tensor(given["text_tokens"]).long(),
        attention_mask=torch.tensor(given["text_mask"]).long(),
        pixel_values=torch.tensor(pixels).to(next(model.parameters()).dtype),
    )
    model.zero_grad()
    return model, found


def started(tokens):
    """Texts with [DEC] in front, as HF wants them of its caller."""
    import torch

    tokens = torch.tensor(tokens).long()
    tokens[:, 0] = WORDS
    return tokens


def next_token_loss(logits, tokens, mask):
    """The mean over the tokens after the first, by the definition."""
    scores = jax.nn.log_softmax(logits[:, :-1])
    chosen = jnp.take_along_axis(scores, tokens[:, 1:, None], axis=2)[..., 0]
    return -(chosen * mask[:, 1:]).sum() / mask[:, 1:].sum()


def ours(kind, loss_of, *names):
    """((a loss, outputs by name), gradients)."""
    model, given = blip_pair.our_model(kind), arrays(kind)

    def loss(params, given):
        variables = {"params": params}
        found = {name: inference(model, name)(variables, **given) for name in names}
        return loss_of(found), found

    run = jax.jit(jax.value_and_grad(loss, has_aux=True))
    return run(blip_pair.params(kind), given)


def ways(*shape):
    return np.random.default_rng(3).normal(size=shape).astype(np.float32)


def check(kind, gradients, model):
    check_gradients(gradients, blip_pair.translate(kind, gradients_of(model)))


def test_matching_and_embeddings_are_those_of_hf():
    import torch

    match_ways, likeness_ways = ways(ROWS, 2), ways(ROWS, ROWS)

    def loss_of(found):
        likeness = found["image_embedding"] @ found["text_embedding"].T
        return (found["match"] * match_ways).sum() + (likeness * likeness_ways).sum()

    names = ("match", "image_embedding", "text_embedding")
    (_, found), gradients = ours(RETRIEVAL, loss_of, *names)
    for precision in PRECISIONS:
        model, given = theirs(RETRIEVAL, precision)
        match = model(**given).itm_score
        likeness = model(**given, use_itm_head=False).itm_score
        assert error(found["match"], match.detach().numpy()) <= 1e-5
        both = found["image_embedding"] @ found["text_embedding"].T
        assert error(both, likeness.detach().numpy()) <= 1e-5
        loss = (match * torch.tensor(match_ways)).sum()
        (loss + (likeness * torch.tensor(likeness_ways)).sum()).backward()
        check(RETRIEVAL, gradients, model)


def test_captions_are_those_of_hf():
    """Its loss too, which has no label smoothing unless it is set."""
    given = arrays(CAPTIONING)
    tokens, mask = given["text_tokens"], given["text_mask"]
    (loss, found), gradients = ours(
        CAPTIONING,
        lambda found: next_token_loss(found["caption_logits"], tokens, mask),
        "caption_logits",
    )
    for precision in PRECISIONS:
        model, arguments = theirs(CAPTIONING, precision)
        arguments["input_ids"] = started(tokens)
        labels = arguments["input_ids"].masked_fill(
            arguments["attention_mask"] == 0, -100
        )
        expected = model(**arguments, labels=labels)
        logits = expected.logits.detach().numpy()
        # HF's padding does not see itself, and it is of no use to anybody.
        assert error(found["caption_logits"][mask], logits[mask]) <= 1e-5
        assert abs(loss - expected.loss.item()) <= 1e-5 * loss
        expected.loss.backward()
        check(CAPTIONING, gradients, model)


@pytest.mark.long
def test_answers_are_those_of_hf():
    """Question by question: HF's decoder looks at the padding of questions as well.

    (Its cross-attention does not hand on the mask, in transformers 5.24.)
    """
    import torch

    given = arrays(ANSWERING)
    seen = given["answer_mask"]
    shape = (ROWS, blip_pair.LENGTH, blip_pair.VOCABULARY)
    towards = ways(*shape) * seen[..., None]
    (_, found), gradients = ours(
        ANSWERING,
        lambda found: (found["answer_token_logits"] * towards).sum(),
        "answer_token_logits",
    )
    for precision in PRECISIONS:
        model, arguments = theirs(ANSWERING, precision)
        for row in range(ROWS):
            words, length = given["text_mask"][row].sum(), seen[row].sum()
            question = {
                name: x[row : row + 1, :words] if x.ndim == 2 else x[row : row + 1]
                for name, x in arguments.items()
            }
            logits = answer_logits(
                model, question, given["answer_tokens"][row, :length]
            )
            expected = logits.detach().numpy()
            assert error(found["answer_token_logits"][row, :length], expected) <= 1e-5
            (logits * torch.tensor(towards[row, :length])).sum().backward()
        check(ANSWERING, gradients, model)


def answer_logits(model, question, answer):
    """Those of HF's decoder, which it only gives to its own loss."""
    kept = []
    hook = model.text_decoder.register_forward_hook(
        lambda module, inputs, outputs: kept.append(outputs.logits)
    )
    model(**question, decoder_input_ids=started(answer[None]))
    hook.remove()
    return kept[0][0]


@pytest.mark.parametrize("kind", [RETRIEVAL, CAPTIONING, ANSWERING])
def test_it_has_the_parameters_of_hf(kind):
    model, given = blip_pair.our_model(kind), arrays(kind)
    shapes = jax.eval_shape(
        model.init, jax.random.key(0), given["image"], given["text_tokens"]
    )["params"]
    expected = jax.tree.map(np.shape, blip_pair.params(kind))
    assert jax.tree.map(lambda x: x.shape, shapes) == expected
