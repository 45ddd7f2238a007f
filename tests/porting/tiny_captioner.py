"""Tiny captioners: transformers' encoder-decoders with random weights, and ours."""

from pathlib import Path

from tests.models.clip_pair import with_weights
from tests.models.resnet_pair import drawn
from tests.porting.tiny_models import LENGTH, PATCH, SIZE, TEXT, VISION, ids, tokenizer
from vlp_jax import defaults, recipe
from vlp_jax.core import trees
from vlp_jax.data.standalone_tokenizer import save_standalone
from vlp_jax.portable import Portable
from vlp_jax.porting.files import write_json
from vlp_jax.porting.pictures import write_hf

PICTURES = dict(image_size=SIZE, interpolation="bicubic", resize="squash")
PICTURES |= dict(mean=(0.5,) * 3, std=(0.5,) * 3)


def decoder(kind: str, **settings):
    """A config of transformers."""
    import transformers

    if kind == "bert":
        return transformers.BertConfig(**TEXT | ids() | settings)
    shape = dict(n_embd=16, n_inner=64, n_layer=2, n_head=2, n_positions=LENGTH)
    return transformers.GPT2Config(**shape | ids() | settings)


def captioner(kind: str, **settings):
    """VisionEncoderDecoderModel; settings: of its decoder, in place of these."""
    import transformers as hf

    decodes = dict(is_decoder=True, add_cross_attention=True)
    config = hf.VisionEncoderDecoderConfig.from_encoder_decoder_configs(
        hf.ViTConfig(**VISION), decoder(kind, **decodes | settings)
    )
    config.decoder_start_token_id = tokenizer().bos_id
    config.eos_token_id, config.pad_token_id = tokenizer().eos_id, tokenizer().pad_id
    return with_weights(hf.VisionEncoderDecoderModel(config).eval())


def save(model, folder: Path) -> Path:
    """The folder as its users have it."""
    model.save_pretrained(folder)
    save_standalone(tokenizer(), folder, sees_mask=True)
    write_json(folder / "preprocessor_config.json", write_hf(PICTURES))
    return folder


def ours(kind: str, image: str = "plain_vit") -> Portable:
    """With random weights."""
    config = recipe.pretraining()
    tower = dict(width=24, depth=2, heads=3, patch_size=PATCH)
    writer = dict(kind=kind, width=16, depth=2, heads=2)
    config.model.update(
        kind="captioner", image={"kind": image, **tower}, decoder=writer
    )
    config.model.text.kind = None
    config.preprocessing.update(PICTURES)
    config.tokenizer.length = LENGTH
    empty = Portable("captioner", defaults.resolved(config), tokenizer(), {})
    weights = drawn(trees.flatten(trees.union(empty.shapes())))
    found = Portable("captioner", empty.config, tokenizer(), weights)
    found.check()
    return found
