"""Trains a tokenizer on the texts of a run: byte pairs, in lower case."""

from collections.abc import Iterable

from vlp_jax.core.errors import ConfigError

# Their ids are their positions here.
SPECIAL_TOKENS = ("<|pad|>", "<|mask|>", "<|startoftext|>", "<|endoftext|>")
SMALLEST_VOCABULARY = len(SPECIAL_TOKENS) + 256  # every byte is a token


def train_backend(captions: Iterable[str], vocab_size: int):
    """Trains the Rust tokenizer, start and end tokens included."""
    from tokenizers import Tokenizer as RustTokenizer
    from tokenizers import decoders, models, normalizers, pre_tokenizers, processors
    from tokenizers.trainers import BpeTrainer

    if vocab_size < SMALLEST_VOCABULARY:
        raise ConfigError(
            f"tokenizer got vocab_size={vocab_size}; expected {SMALLEST_VOCABULARY} or "
            "more: the 256 bytes and the special tokens"
        )
    backend = RustTokenizer(models.BPE())
    backend.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Lowercase()]
    )
    # A word has the same token at the start of a text as after a space.
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    backend.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(captions, trainer)
    start, end = SPECIAL_TOKENS[2:]
    backend.post_processor = processors.TemplateProcessing(
        single=[start, "$A", end], special_tokens=[(start, 2), (end, 3)]
    )
    return backend
