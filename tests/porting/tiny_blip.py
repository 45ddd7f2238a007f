"""Tiny BLIPs: of transformers with random weights in folders, and of ours."""

from pathlib import Path

from tests.models.clip_pair import with_weights
from tests.models.resnet_pair import drawn
from tests.porting.tiny_models import LENGTH, ids, tokenizer
from vlp_jax import defaults, recipe
from vlp_jax.core import trees
from vlp_jax.data.standalone_tokenizer import save_standalone
from vlp_jax.portable import Portable
from vlp_jax.porting import hf_blip
from vlp_jax.porting.files import write_json

SIZE, PATCH, WIDTH = 12, 4, 24
RETRIEVAL, CAPTIONING, ANSWERING = hf_blip.CLASSES
# By the name that --head has.
CLASSES = {
    "matching": RETRIEVAL,
    "captioning": CAPTIONING,
    "answering": ANSWERING,
}
SHAPE = dict(hidden_size=WIDTH, num_hidden_layers=2, num_attention_heads=3)
PICTURES = {  # as the published ones have them, which leave out what is usual
    "image_processor_type": "BlipImageProcessor",
    "size": {"height": SIZE, "width": SIZE},
}


def blip(head: str, vision=None, text=None, **settings):
    """Of transformers; the given settings of its configs in place of the usual ones."""
    import transformers

    words = ids()["vocab_size"]
    usual = dict(
        vocab_size=words + 2,
        bos_token_id=words,
        sep_token_id=ids()["eos_token_id"],
        eos_token_id=ids()["eos_token_id"],
        pad_token_id=ids()["pad_token_id"],
        max_position_embeddings=LENGTH,
        intermediate_size=40,
    )
    pixels = dict(image_size=SIZE, patch_size=PATCH, intermediate_size=60)
    config = transformers.BlipConfig(
        vision_config=SHAPE | pixels | (vision or {}),
        text_config=SHAPE | usual | (text or {}),
        **{"image_text_hidden_size": 12, "architectures": [CLASSES[head]], **settings},
    )
    return with_weights(getattr(transformers, CLASSES[head])(config).eval())


def save(model, folder: Path) -> Path:
    """The folder as its users have it."""
    model.save_pretrained(folder)
    save_standalone(tokenizer(), folder, sees_mask=True)
    write_json(folder / "preprocessor_config.json", PICTURES)
    return folder


def ours(**model) -> Portable:
    """As it is pretrained, with random weights; it answers questions as well."""
    config = recipe.pretraining()
    towers = dict(width=WIDTH, depth=2, heads=3)
    image = dict(kind="plain_vit", patch_size=PATCH, **towers)
    text = dict(kind="mixed_bert", **towers)
    config.model.update({"kind": "blip", "image": image, "text": text})
    config.model.update({"embedding_size": 12, "answering": True, **model})
    pictures = dict(image_size=SIZE, resize="squash", mean=(0.5,) * 3, std=(0.5,) * 3)
    config.preprocessing.update(pictures)
    config.tokenizer.length = LENGTH
    words = tokenizer()
    empty = Portable("blip", defaults.resolved(config), words, {})
    weights = drawn(trees.flatten(trees.union(empty.shapes())))
    found = Portable("blip", empty.config, words, weights)
    found.check()
    return found
