"""Text to token ids: one face for every Hugging Face tokenizer, and for our own.

The work is done by the Rust tokenizer inside, set up once and never changed after:
transformers' own __call__ sets truncation and padding anew each time, which is slower
and fails with 'Already borrowed' when several threads tokenize.
"""

import copy
import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from vlp_jax.core.class_prompts import CONTEXT
from vlp_jax.core.errors import ConfigError
from vlp_jax.core.lookup import lookup
from vlp_jax.data.byte_pairs import SPECIAL_TOKENS, train_backend
from vlp_jax.data.canonical import CANONICALISE
from vlp_jax.data.words import word_borders

# Keeps transformers from advising PyTorch, which tokenizing does not need.
os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")

HIDDEN = "\U000f0000"  # of a private plane: no rule of canonical texts knows it


def first_known(*ids: int | None) -> int | None:
    return next((i for i in ids if i is not None), None)


def backend_of(pretrained, start_id: int | None, eos_id: int | None, length: int):
    """A private copy of the Rust tokenizer that truncates to `length`, end included.

    It adds a start and an end where these are named and it does not do so by itself.
    """
    from tokenizers import Tokenizer as RustTokenizer
    from tokenizers.processors import Sequence as Processors
    from tokenizers.processors import TemplateProcessing

    backend = RustTokenizer.from_str(pretrained.backend_tokenizer.to_str())
    backend.no_padding()
    backend.no_truncation()
    # A caption that spells '<|endoftext|>' is text, not markup.
    backend.encode_special_tokens = True
    ids = backend.encode("a").ids
    # GPT-2's adds no end, but text towers pool there; and no start, where decoders do.
    before = [start_id] if start_id not in (None, ids[0]) else []
    after = [eos_id] if eos_id not in (None, ids[-1]) else []
    if before or after:
        start, end = map(pretrained.convert_ids_to_tokens, (before, after))
        template = TemplateProcessing(
            single=[*start, "$A", *end],
            special_tokens=list({*zip(start + end, before + after, strict=True)}),
        )
        given = backend.post_processor
        backend.post_processor = Processors([given, template]) if given else template
    added = backend.num_special_tokens_to_add(False)
    if not isinstance(length, int) or length <= added:
        raise ConfigError(
            f"tokenizer got length={length!r}; expected a whole number above {added}, "
            "the number of start and end tokens it adds"
        )
    backend.enable_truncation(length)
    return backend


class Tokenizer:
    """Calls give (tokens, mask), padded and truncated to `length`, the end token kept.

    Make one with `load` or `train`. Safe to share between threads and to pickle.

    Args:
      pretrained: a transformers tokenizer with a Rust backend.
      length: tokens per text, start and end tokens included.
      canonicalise: a key of CANONICALISE, applied to the text first. None: as saved
        with the tokenizer, else 'none'.
      add_start: whether a start token is put before texts that have none by themselves
        (GPT-2's), for decoders to write from. None: as saved, else not.
    """

    def __init__(
        self,
        pretrained,
        length: int,
        canonicalise: str | None = None,
        add_start: bool | None = None,
    ):
        canonicalise = canonicalise or pretrained.init_kwargs.get("canonicalise")
        self.canonicalise = canonicalise or "none"
        self._canonicalise = lookup(
            CANONICALISE, self.canonicalise, "canonicalise of the tokenizer"
        )
        if add_start is None:
            add_start = bool(pretrained.init_kwargs.get("add_start"))
        pretrained.init_kwargs["canonicalise"] = self.canonicalise  # for save
        pretrained.init_kwargs["add_start"] = add_start
        for how_loaded in ("is_local", "local_files_only"):  # is not worth saving
            pretrained.init_kwargs.pop(how_loaded, None)
        self._pretrained, self.length = pretrained, length
        self.bos_id = first_known(pretrained.bos_token_id, pretrained.cls_token_id)
        self.eos_id = first_known(pretrained.eos_token_id, pretrained.sep_token_id)
        self.mask_id = pretrained.mask_token_id
        self.pad_id = first_known(pretrained.pad_token_id, self.eos_id, 0)
        start_id = first_known(self.bos_id, self.eos_id) if add_start else None
        self._backend = backend_of(pretrained, start_id, self.eos_id, length)
        vocabulary = self._backend.get_vocab()
        self.vocab_size = max(vocabulary.values()) + 1
        self._context = [i for t, i in vocabulary.items() if CONTEXT.fullmatch(t)]

    @classmethod
    def load(
        cls,
        name: str,
        length: int,
        canonicalise: str | None = None,
        add_start: bool | None = None,
    ) -> "Tokenizer":
        """From a folder (tokenizer.json or what transformers reads) or a hub name.

        Code that comes with a tokenizer is never run.
        """
        return cls(pretrained_tokenizer(str(name)), length, canonicalise, add_start)

    @classmethod
    def train(
        cls,
        captions: Iterable[str],
        vocab_size: int,
        length: int,
        canonicalise: str = "none",
    ) -> "Tokenizer":
        """Byte-level BPE (Sennrich et al. 2016; bytes as in GPT-2), case-insensitive.

        A pure function of its arguments. The vocabulary stays below `vocab_size` when
        the captions have no more pairs to merge; no text is ever out of vocabulary.
        """
        from transformers import PreTrainedTokenizerFast

        clean = lookup(CANONICALISE, canonicalise, "canonicalise of the tokenizer")
        backend = train_backend(map(clean, captions), vocab_size)
        names = ("pad_token", "mask_token", "bos_token", "eos_token")
        pretrained = PreTrainedTokenizerFast(
            tokenizer_object=backend, **dict(zip(names, SPECIAL_TOKENS, strict=True))
        )
        return cls(pretrained, length, canonicalise)

    def __call__(self, texts: str | Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """(tokens int32 [n, length], mask bool [n, length]: True up to the end token).

        The mask tells padding from text also where both share an id (CLIP, SigLIP).
        """
        texts = [texts] if isinstance(texts, str) else texts
        texts = [self._clean(text) for text in texts]
        if len(texts) == 1:  # spares the hand-over to Rust's thread pool
            encodings = [self._backend.encode(texts[0])]
        else:
            encodings = self._backend.encode_batch_fast(texts)
        tokens = np.full((len(texts), self.length), self.pad_id, np.int32)
        mask = np.zeros((len(texts), self.length), bool)
        for row, encoding in enumerate(encodings):
            ids = encoding.ids
            tokens[row, : len(ids)] = ids
            mask[row, : len(ids)] = True
        return tokens, mask

    def _clean(self, text: str) -> str:
        """The canonical text; context tokens pass as they are, punctuation and all."""
        if not self._context:
            return self._canonicalise(text)
        text = text.replace(HIDDEN, "")
        found, marked = CONTEXT.findall(text), CONTEXT.sub(HIDDEN, text)
        pieces = self._canonicalise(marked).split(HIDDEN)
        return "".join(
            piece + token for piece, token in zip(pieces, [*found, ""], strict=True)
        )

    def with_context(self, tokens: Sequence[str]) -> "Tokenizer":
        """The same with context tokens (core/class_prompts.py) after its own."""
        from tokenizers import AddedToken

        known = self._backend.get_vocab()
        new = [token for token in tokens if token not in known]
        if not new:
            return self
        pretrained = copy.deepcopy(self._pretrained)
        # White space before one belongs to it, so that no token of its own is made.
        pretrained.add_tokens(
            [AddedToken(t, lstrip=True, normalized=False) for t in new]
        )
        return Tokenizer(pretrained, self.length, self.canonicalise)

    @property
    def has_context(self) -> bool:
        """Whether it knows context tokens."""
        return bool(self._context)

    def unknown_context(self, texts: Iterable[str]) -> list[str]:
        """Context tokens of texts that are none of this tokenizer, but text to it."""
        found = {token for text in texts for token in CONTEXT.findall(text)}
        return sorted(token for token in found if self.ids([token]) == [None])

    def ids(self, tokens: Sequence[str]) -> list[int]:
        """The numbers of tokens of the vocabulary."""
        return [self._backend.token_to_id(token) for token in tokens]

    def is_context(self, tokens: np.ndarray) -> np.ndarray:
        """Which of the tokens are context, bool of their shape."""
        return np.isin(tokens, self._context)

    def decode(self, tokens: np.ndarray) -> list[str]:
        """The texts of int [n, L], each up to its end token, without special tokens."""
        texts = []
        for row in np.asarray(tokens).tolist():
            end = row.index(self.eos_id, 1) if self.eos_id in row[1:] else len(row)
            text = self._pretrained.decode(row[:end], skip_special_tokens=True)
            texts.append(text.strip())
        return texts

    def save(self, folder: str | Path) -> None:
        """Writes what `load` (and AutoTokenizer) reads, canonicalisation included."""
        self._pretrained.save_pretrained(str(folder))

    def with_length(self, length: int) -> "Tokenizer":
        """The same, for texts of another length."""
        return Tokenizer(self._pretrained, length, self.canonicalise)

    @property
    def word_borders(self) -> np.ndarray | None:
        """bool [2, vocab_size]: tokens that begin, and that end, words (words.py)."""
        return word_borders(self._backend)

    def copy_of_backend(self):
        """The Rust tokenizer as it is used here: end token, template, truncation."""
        from tokenizers import Tokenizer as RustTokenizer

        return RustTokenizer.from_str(self._backend.to_str())

    def __reduce__(self):
        # The backend's own pickle forgets encode_special_tokens.
        return Tokenizer, (self._pretrained, self.length, self.canonicalise)


def pretrained_tokenizer(name: str):
    """The transformers tokenizer of a folder, of the hub's cache, or of the hub."""
    folder = Path(name).expanduser()
    if folder.is_dir():
        try:
            return rust_backed(str(folder), offline=True)
        except Exception as error:
            raise ConfigError(
                f"no tokenizer could be read from {name!r} ({first_line(error)})\n"
                "it should hold tokenizer.json and tokenizer_config.json, as "
                "save_pretrained writes them"
            ) from error
    if name.startswith((".", "~", "/")) or name.count("/") > 1:
        raise ConfigError(f"no tokenizer folder {name!r}; give one, or a hub name")
    try:
        return rust_backed(name, offline=True)
    except Exception:
        pass  # not in the cache
    try:
        from huggingface_hub import HfApi

        # One quick question first: from_pretrained tries for a minute when offline.
        HfApi().model_info(name, timeout=10)
        return rust_backed(name, offline=False)
    except Exception as error:
        raise ConfigError(
            f"tokenizer {name!r}: no such folder, not in the Hugging Face cache; hub: "
            f"{first_line(error)}\ngive a folder, or fetch it where a network is: "
            f"hf download {name} tokenizer.json tokenizer_config.json"
        ) from error


def rust_backed(name: str, offline: bool):
    """from_pretrained, by way of tokenizer.json alone if the class has no backend."""
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    # It warns of a config.json beside the tokenizer whose model it does not know.
    logging.getLogger("transformers.configuration_utils").setLevel(logging.ERROR)
    try:
        pretrained = AutoTokenizer.from_pretrained(
            name, trust_remote_code=False, local_files_only=offline
        )
        if pretrained.is_fast:
            return pretrained
    except Exception:
        pass  # such as SigLIP's, whose class needs sentencepiece
    return PreTrainedTokenizerFast.from_pretrained(name, local_files_only=offline)


def first_line(error: Exception) -> str:
    line = (str(error).strip() or "no message").splitlines()[0]
    return f"{type(error).__name__}: {line}"
