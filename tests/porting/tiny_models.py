"""Tiny models of transformers with random weights, in folders as its users have them.

Their tokenizer is one of ours. What a test changes in a config is named in its words.
"""

import functools
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.models.clip_pair import with_weights
from vlp_jax.core.errors import ConfigError
from vlp_jax.data.standalone_tokenizer import save_standalone
from vlp_jax.data.tokenizers import Tokenizer
from vlp_jax.porting.description import Description, Tokens
from vlp_jax.porting.files import write_json
from vlp_jax.porting.pictures import write_hf

SIZE, PATCH, LENGTH = 12, 4, 16
CAPTIONS = ["a red cat", "a big blue dog on a table", "a temple, a flower!"] * 5
VISION = dict(
    hidden_size=24,
    intermediate_size=96,
    num_hidden_layers=2,
    num_attention_heads=3,
    image_size=SIZE,
    patch_size=PATCH,
)
TEXT = dict(
    hidden_size=16,
    intermediate_size=64,
    num_hidden_layers=2,
    num_attention_heads=2,
    max_position_embeddings=LENGTH,
)
PREPROCESSING = {
    "clip": dict(
        resize="shortest_floor", mean=(0.48, 0.46, 0.41), std=(0.27, 0.26, 0.28)
    ),
    "siglip": dict(resize="squash", mean=(0.5,) * 3, std=(0.5,) * 3),
}


@functools.cache
def tokenizer(length: int = LENGTH, canonicalise: str = "none") -> Tokenizer:
    return Tokenizer.train(CAPTIONS, 280, length, canonicalise)


def ids() -> dict[str, int]:
    """What a config says of the tokenizer."""
    known = tokenizer()
    return dict(
        vocab_size=known.vocab_size,
        bos_token_id=known.bos_id,
        eos_token_id=known.eos_id,
        pad_token_id=known.pad_id,
    )


def clip(vision=None, text=None):
    """CLIPModel; the given settings of its two configs in place of the usual ones."""
    from transformers import CLIPConfig, CLIPModel

    size = {"projection_dim": 12}
    config = CLIPConfig(
        vision_config=VISION | size | (vision or {}),
        text_config=TEXT | ids() | size | (text or {}),
        **size,
    )
    return with_weights(CLIPModel(config).eval(), logit_scale=2.0)


def siglip(vision=None, text=None):
    """SiglipModel likewise."""
    from transformers import SiglipConfig, SiglipModel

    config = SiglipConfig(
        vision_config=VISION | (vision or {}),
        text_config=TEXT | ids() | {"projection_size": 24} | (text or {}),
    )
    return with_weights(SiglipModel(config).eval(), logit_scale=1.5, logit_bias=-2.0)


MODELS = {"clip": clip, "siglip": siglip}


def preprocessing(kind: str) -> dict:
    """Our settings."""
    return {"image_size": SIZE, "interpolation": "bicubic", **PREPROCESSING[kind]}


def save(model, folder: Path, **how) -> Path:
    """The folder with weights, config, tokenizer and preprocessing; how: to save."""
    kind = model.config.model_type
    model.save_pretrained(folder, **how)
    save_standalone(tokenizer(), folder, sees_mask=kind == "clip")
    write_json(folder / "preprocessor_config.json", write_hf(preprocessing(kind)))
    return folder


def change_json(path: Path, **settings) -> None:
    """Sets keys of a JSON file ('text_config__eos_token_id'); None removes one."""
    content = json.loads(path.read_text())
    for name, value in settings.items():
        *sections, key = name.split("__")
        place = content
        for section in sections:
            place = place[section]
        if value is None:
            place.pop(key, None)
        else:
            place[key] = value
    path.write_text(json.dumps(content))


def arrays_of(model) -> dict:
    """{key: array} of a model of torch."""
    return {k: x.numpy().copy() for k, x in model.state_dict().items()}


def description(model: dict, kind: str, eos_id: int = 3) -> Description:
    """Of our model settings, with the tokenizer's ids."""
    known = tokenizer()
    tokens = Tokens(known.vocab_size, LENGTH, eos_id, known.bos_id, known.pad_id)
    return Description(model, preprocessing(kind), tokens)


def assert_same_bits(found: dict, expected: dict) -> None:
    """Names, types, shapes and every bit."""
    assert found.keys() == expected.keys()
    for key, array in expected.items():
        assert found[key].dtype == array.dtype and found[key].shape == array.shape, key
        assert found[key].tobytes() == array.tobytes(), key


def short(error) -> bool:
    """Whether an error fits in two lines."""
    return len(str(error.value).splitlines()) <= 2


def assert_refused(function: Callable, *said: str) -> None:
    """A ConfigError of two lines at most, with these words."""
    with pytest.raises(ConfigError) as error:
        function()
    assert short(error)
    missing = [words for words in said if words not in str(error.value)]
    assert not missing, f"{missing} not in: {error.value}"
