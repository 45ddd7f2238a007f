"""TwoTower with the weights of HF's CLIPModel computes what that computes."""

import pytest
from flax.traverse_util import unflatten_dict

from tests.models import clip_pair
from tests.models.comparison import check_equals_hf


@pytest.mark.parametrize(
    ("activation", "eos_id", "scan"),
    [("quick_gelu", 2, False), pytest.param("gelu", 25, True, marks=pytest.mark.long)],
)
def test_equals_hf_clip(activation, eos_id, scan):
    theirs = clip_pair.hf_model(activation, eos_id)
    weights = {k: p.detach().numpy().copy() for k, p in theirs.named_parameters()}
    flat = clip_pair.translate(weights)
    params = unflatten_dict(flat, sep="/")
    ids, mask = clip_pair.captions(eos_id)
    arrays = clip_pair.pictures(), ids, mask
    model = clip_pair.our_model(activation, eos_id, scan=scan)
    found = clip_pair.value_and_gradients(model)(params, *arrays)
    pixels = (arrays[0] / 255 - clip_pair.MEAN) / clip_pair.STD
    texts = dict(input_ids=ids, attention_mask=mask)
    check_equals_hf(found, theirs, clip_pair.translate, pixels, **texts)
