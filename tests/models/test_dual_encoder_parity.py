"""TwoTower of other towers computes what HF's VisionTextDualEncoderModel does."""

import functools

import pytest
from flax.traverse_util import unflatten_dict

from tests.models import clip_pair, hf_towers
from tests.models.clip_pair import EMBEDDING
from tests.models.comparison import check_equals_hf
from tests.models.hf_towers import arrays_of, translate
from vlp_jax.models.vlm import TwoTower


def hf_model(image, text):
    from transformers import VisionTextDualEncoderConfig, VisionTextDualEncoderModel

    config = VisionTextDualEncoderConfig.from_vision_text_configs(
        hf_towers.hf_config(image), hf_towers.hf_config(text), projection_dim=EMBEDDING
    )
    model = VisionTextDualEncoderModel(config).float().eval()
    return clip_pair.with_weights(model, logit_scale=2.0)


@pytest.mark.parametrize(
    ("image", "text", "scan"),
    [
        ("plain_vit", "bert", False),
        pytest.param("vit", "bert", True, marks=pytest.mark.long),
    ],
)
def test_equals_hf_dual_encoder(image, text, scan):
    theirs = hf_model(image, text)
    translated = functools.partial(translate, image, text)
    params = unflatten_dict(translated(arrays_of(theirs)), sep="/")
    model = TwoTower(
        hf_towers.our_tower(image, scan=scan),
        hf_towers.our_tower(text, scan=scan),
        embedding_size=EMBEDDING,
        image_mean=(0.5,) * 3,
        image_std=(0.5,) * 3,
    )
    pictures, (ids, mask) = clip_pair.pictures(), clip_pair.captions(hf_towers.END)
    found = clip_pair.value_and_gradients(model)(params, pictures, ids, mask)
    pixels = (pictures / 255 - 0.5) / 0.5
    texts = dict(input_ids=ids, attention_mask=mask)
    check_equals_hf(found, theirs, translated, pixels, **texts)
