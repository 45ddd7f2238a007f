"""A tokenizer for transformers alone: what our Tokenizer adds is built into it.

Canonicalisation becomes a normalizer of the Rust tokenizer and the end token part of
its template, so that AutoTokenizer gives the same ids with padding='max_length' and
truncation=True.
"""

import re
import string
from collections.abc import Callable
from pathlib import Path

from vlp_jax.data.tokenizers import Tokenizer


def _siglip():
    from tokenizers import Regex, normalizers

    return [
        normalizers.Replace("_", " "),
        normalizers.Replace(Regex(f"[{re.escape(string.punctuation)}]"), ""),
        *_spaces_and_case(),
    ]


def _quotes_and_spaces():
    from tokenizers import Regex, normalizers

    return [
        normalizers.Replace(Regex("[\u02bc\u2018-\u201b]"), "'"),
        normalizers.Replace(Regex("[\u201c-\u201f]"), '"'),
        *_spaces(),
    ]


def _spaces():
    from tokenizers import Regex, normalizers

    return [
        normalizers.Replace(Regex(r"[\s\x1c-\x1f]+"), " "),  # as Python splits
        normalizers.Strip(),
    ]


def _spaces_and_case():
    from tokenizers import Regex, normalizers

    cased = r"\p{Lu}\p{Ll}\p{Lt}"
    return [
        *_spaces(),
        # Python lowers a sigma at the end of a word to its final form.
        normalizers.Replace(Regex(f"(?<=[{cased}])Σ(?![{cased}])"), "ς"),
        normalizers.Lowercase(),
    ]


# By canonicalisation. Those of CLIP and open_clip also resolve HTML entities, which a
# normalizer cannot: such texts are to be cleaned before.
NORMALIZERS: dict[str, Callable[[], list]] = {
    "none": list,
    "siglip": _siglip,
    "clip": _spaces_and_case,
    "open_clip": _quotes_and_spaces,
}


def save_standalone(tokenizer: Tokenizer, folder: Path | str, sees_mask: bool) -> None:
    """Writes tokenizer.json and its config for AutoTokenizer.

    sees_mask: whether the model is to get an attention mask (SigLIP's is not).
    """
    from tokenizers import normalizers
    from transformers import PreTrainedTokenizerFast

    backend = tokenizer.copy_of_backend()
    backend.no_truncation()
    backend.encode_special_tokens = False
    first = NORMALIZERS[tokenizer.canonicalise]()
    if first:
        own = [backend.normalizer] if backend.normalizer else []
        backend.normalizer = normalizers.Sequence([*first, *own])
    ids = {"bos": tokenizer.bos_id, "eos": tokenizer.eos_id, "pad": tokenizer.pad_id}
    ids["mask"] = tokenizer.mask_id
    PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_max_length=tokenizer.length,
        padding_side="right",
        model_input_names=["input_ids"] + ["attention_mask"] * sees_mask,
        **{
            f"{name}_token": backend.id_to_token(i)
            for name, i in ids.items()
            if i is not None
        },
    ).save_pretrained(str(folder))
