"""One head of several: what is left computes what it computed."""

import numpy as np
import pytest

from tests.porting import tiny_vilt
from tests.porting.tiny_models import assert_refused, assert_same_bits
from tests.porting.tiny_vilt import ANSWERS, CLASSES
from vlp_jax import endpoints, proof
from vlp_jax.one_head import with_head
from vlp_jax.porting import hf

NAMES = {
    "masked_lm": "masked_lm_logits",
    "matching": "match",
    "answers": "answer_logits",
}


@pytest.fixture(scope="module")
def whole():
    model = tiny_vilt.ours()
    return model, proof.ours(model).outputs


@pytest.mark.parametrize("head", NAMES)
def test_it_computes_what_the_whole_computes(whole, head, tmp_path):
    model, outputs = whole
    assert outputs.keys() == set(NAMES.values())
    found = with_head(model, head)
    assert found.answers == (ANSWERS if head == "answers" else ())
    left = {k: model.parameters[k] for k in found.parameters}
    assert_same_bits(found.parameters, left)
    gone = {k.split("/")[0] for k in model.parameters.keys() - left.keys()}
    heads = {"masked_lm_head", "matching_head", "answer_head"}
    assert gone < heads and len(gone) == 2
    alone = proof.ours(found).outputs
    assert alone.keys() == {NAMES[head]}
    np.testing.assert_array_equal(alone[NAMES[head]], outputs[NAMES[head]])
    written = endpoints.write(f"hf:{tmp_path / 'there'}", found)
    assert hf.class_of(written) == CLASSES[head]


def test_the_whole_stays_as_it_was(whole):
    model, _ = whole
    with_head(model, "matching")
    assert model.config.model.masked_lm and model.answers == ANSWERS


def test_a_head_that_is_not_there():
    model = tiny_vilt.ours(answers=(), matching=False)
    assert_refused(
        lambda: with_head(model, "matching"), "no head 'matching'; it has: masked_lm"
    )
    assert_refused(
        lambda: with_head(model, "caption"), "unknown head 'caption'; known: answering"
    )


def test_port_gives_the_head_that_is_named(tmp_path, capsys):
    """And says how its class is loaded, with what was proved in the card."""
    from absl import flags
    from absl.testing import flagsaver

    from vlp_jax import port

    model = tiny_vilt.ours(answers=())
    ours = endpoints.write(f"vlp:{tmp_path / 'ours'}", model)
    target = tmp_path / "theirs"
    flags.FLAGS(["port"])
    given = dict(source=f"vlp:{ours}", target=f"hf:{target}", head="matching")
    with flagsaver.flagsaver(**given):
        port.main()
    said = " ".join(capsys.readouterr().out.split())
    count = with_head(model, "matching").count()
    assert f"head matching alone, {count:,} parameters" in said
    assert said.count("scores of a match differ by") == 2
    assert said.count("100% of the scores the same largest one") == 2
    name = CLASSES["matching"]
    assert f"import {name}; {name}.from_pretrained('{target}')" in said
    card = (target / "README.md").read_text()
    assert f'{name}.from_pretrained("DIR")' in card and "scores of a match" in card
