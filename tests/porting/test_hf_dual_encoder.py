"""transformers' dual encoders become ours and are themselves again, outputs too."""

import pytest
from safetensors.numpy import load_file

from tests.models.clip_pair import with_weights
from tests.porting.tiny_models import PATCH, SIZE, ids, tokenizer
from vlp_jax import endpoints, proof
from vlp_jax.core.errors import ConfigError
from vlp_jax.data.standalone_tokenizer import save_standalone
from vlp_jax.porting import hf_dual_encoder
from vlp_jax.porting.files import write_json
from vlp_jax.porting.pictures import write_hf

SHAPE = dict(
    hidden_size=24, intermediate_size=60, num_hidden_layers=2, num_attention_heads=3
)
PICTURES = dict(
    image_size=SIZE, resize="squash", interpolation="bilinear", mean=(0.5,) * 3
)
PAIRS = [(image, text) for image in ("vit", "clip") for text in ("bert", "roberta")]


def dual_encoder(image: str, text: str):
    """VisionTextDualEncoderModel of tiny towers with random weights."""
    import transformers

    picture = dict(image_size=SIZE, patch_size=PATCH)
    vision = {
        "vit": transformers.ViTConfig,
        "clip": transformers.CLIPVisionConfig,
    }[image](**SHAPE, **picture)
    words = ids() | {"pad_token_id": 1 if text == "roberta" else 0}
    length = tokenizer().length
    language = {
        "bert": transformers.BertConfig(
            **SHAPE, **words, max_position_embeddings=length
        ),
        "roberta": transformers.RobertaConfig(
            **SHAPE,
            **words,
            max_position_embeddings=length + 2,
            type_vocab_size=1,
            layer_norm_eps=1e-5,
        ),
    }[text]
    config = transformers.VisionTextDualEncoderConfig.from_vision_text_configs(
        vision, language, projection_dim=12
    )
    model = transformers.VisionTextDualEncoderModel(config).eval()
    return with_weights(model, logit_scale=2.0)


class Padded:
    """Our tokenizer with another id for padding, as RoBERTa's has it."""

    def __init__(self, pad_id: int):
        self.pad_id, self._inner = pad_id, tokenizer()

    def __getattr__(self, name):
        return getattr(self._inner, name)


@pytest.fixture(scope="module", params=PAIRS, ids="-".join)
def source(request, tmp_path_factory):
    """(names of the towers, the folder of the model with all its files)."""
    folder = tmp_path_factory.mktemp("dual") / "theirs"
    dual_encoder(*request.param).save_pretrained(folder)
    pad = 1 if request.param[1] == "roberta" else 0
    save_standalone(Padded(pad), folder, sees_mask=True)
    pictures = PICTURES | {"std": (0.5,) * 3}
    write_json(folder / "preprocessor_config.json", write_hf(pictures))
    return request.param, folder


def test_it_goes_and_comes_back_to_the_bit(source, tmp_path):
    names, folder = source
    model = endpoints.read(f"hf:{folder}")
    kinds = (model.config.model.image.kind, model.config.model.text.kind)
    assert kinds == ({"vit": "plain_vit", "clip": "vit"}[names[0]], names[1])
    written = endpoints.write(f"hf:{tmp_path}/again", model)
    before = load_file(folder / "model.safetensors")
    after = load_file(written / "model.safetensors")
    assert before.keys() == after.keys()
    for key, array in before.items():
        assert array.dtype == after[key].dtype and array.shape == after[key].shape, key
        assert (array == after[key]).all(), key


def test_it_computes_what_transformers_computes(source, tmp_path):
    """Pictures and captions of the proof: padded, cut, in another script."""
    _, folder = source
    model = endpoints.read(f"hf:{folder}")
    written = endpoints.write(f"hf:{tmp_path}/again", model)
    proofs = proof.prove("hf", written, model)
    assert [found.side for found in proofs] == ["this package", "transformers"]
    assert all(found.holds for found in proofs), proofs


def test_what_it_has_no_place_for(source):
    _, folder = source
    model = endpoints.read(f"hf:{folder}").description
    for section, key, value, said in [
        ("text", "pool", "mean", "takes the text from 'pooler'"),
        (None, "share_projection", True, "this model is another"),
        (None, "logit_bias_init", -10.0, "this model is another"),
    ]:
        settings = {
            k: dict(v) if isinstance(v, dict) else v for k, v in model.model.items()
        }
        (settings[section] if section else settings)[key] = value
        changed = type(model)(settings, model.preprocessing, model.tokens)
        with pytest.raises(ConfigError, match=said):
            hf_dual_encoder.write(changed)
