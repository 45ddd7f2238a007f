"""One use of a BLIP that does everything: what is left computes what it computed."""

import numpy as np
import pytest

from tests.porting import tiny_blip
from tests.porting.tiny_blip import CLASSES
from tests.porting.tiny_models import assert_refused
from vlp_jax import endpoints, proof
from vlp_jax.one_head import with_head
from vlp_jax.porting import hf

OUTPUTS = {
    "matching": ("image_embedding", "text_embedding", "match"),
    "captioning": ("caption_logits",),
    "answering": ("answer_token_logits",),
}
PARTS = {
    "matching": {
        "image",
        "text",
        "image_projection",
        "text_projection",
        "matching_head",
    },
    "captioning": {"image", "decoder"},
    "answering": {"image", "text", "decoder"},
}


def whole(**settings):
    model = tiny_blip.ours(**settings)
    return model, proof.ours(model).outputs


@pytest.mark.long
@pytest.mark.parametrize("head", CLASSES)
def test_it_computes_what_the_whole_computes(head, tmp_path):
    """Also where the whole reads from [ENC], if nothing else reads the same words."""
    model, outputs = whole(encode_token=head != "matching")
    assert outputs.keys() == {name for names in OUTPUTS.values() for name in names}
    found = with_head(model, head)
    assert {path.split("/")[0] for path in found.parameters} == PARTS[head]
    assert not any("decoder_" in path for path in found.parameters)
    alone = proof.ours(found).outputs
    assert alone.keys() == set(OUTPUTS[head])
    for name in OUTPUTS[head]:
        np.testing.assert_allclose(alone[name], outputs[name], atol=1e-5)
    written = endpoints.write(f"hf:{tmp_path / 'there'}", found)
    assert hf.class_of(written) == CLASSES[head]
    assert all(x.holds for x in proof.prove("hf", written, found))
    assert model.config.model.captioning and "token_head/bias" in model.parameters


def test_what_cannot_be_alone():
    model, _ = whole(answering=False)
    assert_refused(
        lambda: with_head(model, "answering"), "it has: matching, captioning"
    )
    given = with_head(model, "matching").description
    assert_refused(lambda: hf.check(given), "train with model.encode_token=False")
