"""The model card of an export: where it comes from, how to use it, what was proved."""

from collections.abc import Sequence
from pathlib import Path

from vlp_jax.porting import hf, hf_own_class

USE = {
    "hf": """\
from PIL import Image
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

model = AutoModel.from_pretrained("DIR"MORE)
tokenizer = AutoTokenizer.from_pretrained("DIR"MORE)
processor = AutoImageProcessor.from_pretrained("DIR", backend="pil")
texts = tokenizer(["a cat", "a dog"], padding="max_length", truncation=True,
                  return_tensors="pt")
images = processor([Image.open("picture.jpg")], return_tensors="pt")
print(model(**texts, **images).logits_per_image.softmax(dim=-1))
""",
    "open_clip": """\
import open_clip, torch
from PIL import Image

model, _, prepare = open_clip.create_model_and_transforms("local-dir:DIR")
tokenizer = open_clip.get_tokenizer("local-dir:DIR")
image = model.eval().encode_image(prepare(Image.open("picture.jpg"))[None])
text = model.encode_text(tokenizer(["a cat", "a dog"]))
print(torch.nn.functional.cosine_similarity(image, text))
""",
    "export": """\
from PIL import Image
from serve import Model  # lies in this folder

model = Model("DIR")
image = model.encode_image([Image.open("picture.jpg")])
text = model.encode_text(["a cat", "a dog"])
print(model.scale * image @ text.T + model.bias)
""",
}
# Of a class of transformers that scores pictures and texts together.
JOINT = """\
from PIL import Image
from transformers import AutoImageProcessor, AutoTokenizer, CLASS

model = CLASS.from_pretrained("DIR")
tokenizer = AutoTokenizer.from_pretrained("DIR")
processor = AutoImageProcessor.from_pretrained("DIR", backend="pil")
texts = tokenizer(["a cat"], padding="max_length", truncation=True,
                  return_tensors="pt")
images = processor([Image.open("picture.jpg")], return_tensors="pt")
RESULT
"""
# What is asked of them, and that as hubs call it.
WRITTEN = "print(tokenizer.batch_decode(ids, skip_special_tokens=True))"
RESULTS = {
    "BlipForImageTextRetrieval": "print(model(**texts, **images).itm_score)",
    "BlipForConditionalGeneration": f"ids = model.generate(**images)\n{WRITTEN}",
    "VisionEncoderDecoderModel": f"ids = model.generate(**images)\n{WRITTEN}",
    "BlipForQuestionAnswering": f"""\
question = tokenizer(["how many cats?"], return_tensors="pt")  # without padding
ids = model.generate(**question, **images)
{WRITTEN}""",
}
# What such classes are for, as hubs call it.
TASKS = {
    "AutoModel": "zero-shot-image-classification",
    "ViltForMaskedLM": "fill-mask",
    "ViltForImageAndTextRetrieval": "zero-shot-image-classification",
    "ViltForQuestionAnswering": "visual-question-answering",
    "BlipForImageTextRetrieval": "zero-shot-image-classification",
    "BlipForConditionalGeneration": "image-to-text",
    "BlipForQuestionAnswering": "visual-question-answering",
    "VisionEncoderDecoderModel": "image-to-text",
}
LIBRARY = {"hf": "transformers", "open_clip": "open_clip", "export": "jax"}


def origin(kind: str, path: str, step: int) -> str:
    """Where a model comes from, without the folders of this machine.

    kind, path: of the endpoint it was read from; a name on the hub stays whole. step:
    of our training, 0 for one that comes from elsewhere.
    """
    here = Path(path).expanduser()
    known = here.absolute().name if kind == "vlp" or here.exists() else path
    made = "Trained with vlp_jax and written" if step else "Written"
    return f"{made} by `python -m vlp_jax.port` from `{kind}:{known}`."


def write(
    folder: Path,
    kind: str,
    name: str,
    origin: str,
    proofs: Sequence[Sequence[str]],
    resized: Sequence[str] = (),
) -> None:
    """README.md with the header that hubs read.

    origin: a sentence (see the function of that name). proofs, resized: lines for
    people, of how far apart the two sides are and of what is no longer as it was
    trained.
    """
    otherwise = f"\n\nResized there: {'; '.join(resized)}." if resized else ""
    proved = "\n".join(f"- {'; '.join(lines)}" for lines in proofs)
    more = hf_own_class.arguments(folder)
    loaded = hf.class_of(folder) if kind == "hf" else "AutoModel"
    use = USE[kind].replace("MORE", more)
    if loaded != "AutoModel":
        result = RESULTS.get(loaded, "print(model(**texts, **images).logits)")
        use = JOINT.replace("CLASS", loaded).replace("RESULT", result)
    if more:
        use = f"# Its class is {hf_own_class.CODE.name} in this folder.\n{use}"
    text = f"""\
---
library_name: {LIBRARY[kind]}
pipeline_tag: {TASKS[loaded]}
tags: [vlp_jax]
---
# {name}

{origin}{otherwise}

```python
{use}```

## What was compared

The same pictures and captions were encoded before and after:

{proved}
"""
    (folder / "README.md").write_text(text, encoding="utf-8")
