"""Tiny ViLTs: of transformers with random weights in folders, and of ours."""

from pathlib import Path

from tests.models.clip_pair import with_weights
from tests.models.resnet_pair import drawn
from tests.porting.tiny_models import CAPTIONS, LENGTH, ids, tokenizer
from vlp_jax import defaults, recipe
from vlp_jax.core import trees
from vlp_jax.data.standalone_tokenizer import save_standalone
from vlp_jax.portable import Portable
from vlp_jax.porting.files import write_json

SIZE, PATCH = 12, 4
ANSWERS = ("yes", "no", "two")
CLASSES = {
    "masked_lm": "ViltForMaskedLM",
    "matching": "ViltForImageAndTextRetrieval",
    "answers": "ViltForQuestionAnswering",
}
PICTURES = {  # as the published ones have them
    "image_processor_type": "ViltImageProcessor",
    "image_mean": [0.5] * 3,
    "image_std": [0.5] * 3,
    "resample": 3,
    "size": {"shortest_edge": SIZE},
    "size_divisor": PATCH,
}


def vilt(head: str, **settings):
    """Of transformers; the given settings of its config in place of the usual ones."""
    import transformers

    names = {}
    if head == "answers":
        names = {
            "id2label": dict(enumerate(ANSWERS)),
            "label2id": {name: i for i, name in enumerate(ANSWERS)},
        }
    usual = dict(
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=60,
        image_size=SIZE,
        patch_size=PATCH,
        max_position_embeddings=LENGTH,
        vocab_size=ids()["vocab_size"],
    )
    names["architectures"] = [CLASSES[head]]
    config = transformers.ViltConfig(**usual | names | settings)
    return with_weights(getattr(transformers, CLASSES[head])(config).eval())


def save(model, folder: Path) -> Path:
    """The folder as its users have it."""
    model.save_pretrained(folder)
    save_standalone(tokenizer(), folder, sees_mask=True)
    write_json(folder / "preprocessor_config.json", PICTURES)
    return folder


def ours(answers=ANSWERS, **model) -> Portable:
    """With random weights and, unless they are switched off, all heads."""
    config = recipe.pretraining()
    image = dict(kind="stream_vit", width=24, depth=2, heads=3, patch_size=PATCH)
    config.model.update({"kind": "vilt", "image": image, "text": {"kind": None}})
    config.model.update(model)
    pictures = dict(image_size=SIZE, resize="squash", mean=(0.5,) * 3, std=(0.5,) * 3)
    config.preprocessing.update(pictures)
    config.tokenizer.length = LENGTH
    words = tokenizer()
    empty = Portable("vilt", defaults.resolved(config), words, {}, answers=answers)
    weights = drawn(trees.flatten(trees.union(empty.shapes())))
    found = Portable("vilt", empty.config, words, weights, answers=answers)
    found.check()
    return found


TEXTS = CAPTIONS[:3]
