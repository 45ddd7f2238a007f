"""Runs what was written as its own library does, to compare it with what we compute.

The only file that needs torch; where that, or the library, is not installed, nothing
can be compared and ImportError says so.
"""

import runpy
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np


class Computed(NamedTuple):
    """What one side computes of n pictures and n texts, which belong together.

    outputs: {name of an output of ours: float32 [n, ...]}. tokens: the ids [n, L].
    mask: bool [n, L] of the ids up to the end token, where padding is told from them.
    prepared: how the pictures were, where their preprocessing is not used as it is.
    """

    outputs: dict[str, np.ndarray]
    tokens: np.ndarray
    mask: np.ndarray | None = None
    prepared: str = ""


def embeddings(image: np.ndarray, text: np.ndarray) -> dict[str, np.ndarray]:
    """Outputs of a model with embeddings, L2-normalised [n, E]."""
    return {"image_embedding": image, "text_embedding": text}


def run_hf(
    folder: Path, pictures: Sequence[np.ndarray], texts: Sequence[str]
) -> Computed:
    """By transformers alone, as its users load a folder; code in it only if ours.

    In float32, whatever the weights are kept in. Texts are as long as the model's
    positions: tokenizers may say another length, or none.
    """
    import torch
    import transformers
    from PIL import Image
    from transformers import AutoImageProcessor, AutoTokenizer
    from transformers.utils import logging

    from vlp_jax.porting import hf, hf_own_class  # need jax, and open_clip does not

    logging.disable_progress_bar()
    own = dict(trust_remote_code=hf_own_class.is_whole(folder))
    name = hf.class_of(folder)
    model, report = getattr(transformers, name).from_pretrained(
        folder, dtype=torch.float32, output_loading_info=True, **own
    )
    problems = {k: sorted(v) for k, v in report.items() if v}
    if problems:
        raise RuntimeError(f"transformers does not load {folder} as it is: {problems}")
    tokenizer = AutoTokenizer.from_pretrained(folder, **own)
    # torchvision, which it takes where that is installed, rounds pixels otherwise.
    processor = AutoImageProcessor.from_pretrained(
        folder, backend="pil", trust_remote_code=False
    )
    length = dict(padding="max_length", max_length=hf.tokens(folder).length)
    tokens = tokenizer(list(texts), truncation=True, return_tensors="pt", **length)
    images, prepared = [Image.fromarray(x) for x in pictures], ""
    if "size_divisor" in processor.to_dict():  # ViLT's; our pictures are squares
        square = (processor.size["shortest_edge"],) * 2
        images = [x.resize(square, processor.resample) for x in images]
        prepared = "resize 'squash' in place of sides of several lengths"
    images = processor(images, return_tensors="pt")
    given = dict(tokens) | {"pixel_values": images["pixel_values"]}
    with torch.no_grad():
        outputs = HF_OUTPUTS.get(name, _hf_embeddings)(model.eval(), given)
    return Computed(outputs, given["input_ids"].numpy(), prepared=prepared)


def _hf_embeddings(model, given) -> dict[str, np.ndarray]:
    found = model(**given)
    return embeddings(_unit(found.image_embeds), _unit(found.text_embeds))


def _hf_logits(name: str):
    """What gives the logits of a class as an output of ours."""
    return lambda model, given: {name: model(**given).logits.numpy()}


def _hf_scores(model, given) -> dict[str, np.ndarray]:
    """Of a match, where there is one number for it: that of none is 0."""
    score = model(**given).logits.numpy()
    return {"match": np.concatenate([np.zeros_like(score), score], axis=1)}


def _hf_captions(model, given) -> dict[str, np.ndarray]:
    """Of texts as its decoder reads them: behind the start token.

    They take the place of those that were given without one.
    """
    import torch

    ids, start = given["input_ids"], model.config.decoder_start_token_id
    if not (ids[:, 0] == start).all():
        ids = torch.cat([torch.full_like(ids[:, :1], start), ids[:, :-1]], dim=1)
    given["input_ids"] = ids
    found = model(decoder_input_ids=ids, pixel_values=given["pixel_values"])
    return {"caption_logits": found.logits.numpy()}


def _blip_pairs(model, given) -> dict[str, np.ndarray]:
    """Scores of a match, and the embeddings whose products its forward gives."""
    given = _of_blip(given)
    match = model(**given).itm_score
    found = model(**given, use_itm_head=False)
    image = model.vision_proj(found.last_hidden_state[:, 0])
    text = model.text_proj(found.question_embeds[:, 0])
    return embeddings(_unit(image), _unit(text)) | {"match": match.numpy()}


def _blip_captions(model, given) -> dict[str, np.ndarray]:
    """Of captions that begin as its `generate` lets them."""
    given = _of_blip(given)
    given["input_ids"] = _started(model, given["input_ids"])
    return {"caption_logits": model(**given).logits.numpy()}


def _blip_answers(model, given) -> dict[str, np.ndarray]:
    """Of the texts as questions, with themselves for an answer.

    One by one, without padding: its decoder looks at the padding of questions.
    """
    given, kept = _of_blip(given), []
    hook = model.text_decoder.register_forward_hook(
        lambda module, inputs, found: kept.append(found.logits[0].numpy())
    )
    answers = _started(model, given["input_ids"])
    for row, mask in enumerate(given["attention_mask"].bool()):
        one = {k: x[row : row + 1] for k, x in given.items()}
        one |= {k: one[k][:, mask] for k in ("input_ids", "attention_mask")}
        model(**one, decoder_input_ids=answers[row : row + 1])
    hook.remove()
    return {"answer_token_logits": np.stack(kept)}


def _of_blip(given) -> dict:
    """The arguments that BLIP's classes take: no types of tokens."""
    return {k: given[k] for k in ("input_ids", "attention_mask", "pixel_values")}


def _started(model, tokens):
    """Texts with the token in front that BLIP begins to write with."""
    tokens = tokens.clone()
    tokens[:, 0] = model.config.text_config.bos_token_id
    return tokens


# By the class of transformers: our outputs, from a model and what its forward takes.
# Classes that are not named have embeddings.
HF_OUTPUTS = {
    "ViltForMaskedLM": _hf_logits("masked_lm_logits"),
    "ViltForImageAndTextRetrieval": _hf_scores,
    "ViltForQuestionAnswering": _hf_logits("answer_logits"),
    "BlipForImageTextRetrieval": _blip_pairs,
    "BlipForConditionalGeneration": _blip_captions,
    "BlipForQuestionAnswering": _blip_answers,
    "VisionEncoderDecoderModel": _hf_captions,
}


def run_open_clip(
    folder: Path, pictures: Sequence[np.ndarray], texts: Sequence[str]
) -> Computed:
    """By open_clip alone, as its users load a folder."""
    import open_clip
    import torch
    from PIL import Image

    name = f"local-dir:{folder}"
    model, _, prepare = open_clip.create_model_and_transforms(name)
    tokens = open_clip.get_tokenizer(name)(list(texts))
    with torch.no_grad():
        model.eval()
        images = torch.stack([prepare(Image.fromarray(x)) for x in pictures])
        image, text = model.encode_image(images), model.encode_text(tokens)
        outputs = embeddings(_unit(image), _unit(text))
        if hasattr(model, "text_decoder"):  # CoCa
            found = model(images, tokens, output_labels=False)
            outputs["caption_logits"] = found["logits"].float().numpy()
    return Computed(outputs, tokens.numpy())


def run_programs(
    folder: Path, pictures: Sequence[np.ndarray], texts: Sequence[str]
) -> Computed:
    """By the loader that lies beside the programs."""
    from PIL import Image

    model = runpy.run_path(str(folder / "serve.py"))["Model"](folder)
    image = model.encode_image([Image.fromarray(x) for x in pictures])
    tokens = [one.ids for one in model._tokenizer.encode_batch(list(texts))]
    return Computed(embeddings(image, model.encode_text(texts)), np.array(tokens))


def _unit(x) -> np.ndarray:
    x = x.float()
    return (x / x.norm(dim=-1, keepdim=True)).numpy()


RUN = {"hf": run_hf, "open_clip": run_open_clip, "export": run_programs}
