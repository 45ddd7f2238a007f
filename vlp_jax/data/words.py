"""Where words begin and end, told from the tokens of a vocabulary.

    WordPiece           '##s' goes on a word            (BERT)
    BPE with an ending  'red</w>' ends one              (CLIP)
    SentencePiece       '▁red' begins one               (T5, SigLIP, Llama)
    byte-level BPE      'Ġred' begins one               (GPT-2, RoBERTa, our own)
    whole words         every token is one

A mark of the space before a word leaves punctuation to the word that it follows;
WordPiece and CLIP's BPE make words of it.
"""

import json

import numpy as np

SPACE_OF_SENTENCEPIECE = "▁"
SPACES_OF_BYTES = ("Ġ", "Ċ", "ĉ", "č")  # how space, newline, tab and return are written


def word_borders(backend) -> np.ndarray | None:
    """bool [2, V]: the tokens that begin a word, and those that end one.

    A word also begins at the start of a text and after a special token, whatever its
    first token. None: the Rust tokenizer `backend` does not mark its words.
    """
    vocabulary = backend.get_vocab()
    borders = np.zeros((2, max(vocabulary.values()) + 1), bool)
    settings = json.loads(backend.to_str())
    model = settings["model"]
    ending, prefix = (
        model.get(key) for key in ("end_of_word_suffix", "continuing_subword_prefix")
    )
    text = json.dumps(
        [settings["normalizer"], settings["pre_tokenizer"]], ensure_ascii=False
    )
    tokens = list(vocabulary)
    ids = [vocabulary[token] for token in tokens]
    if model["type"] == "WordLevel":
        borders[:] = True
    elif ending:
        borders[1, ids] = [token.endswith(ending) for token in tokens]
    elif prefix:
        borders[0, ids] = [not token.startswith(prefix) for token in tokens]
    elif SPACE_OF_SENTENCEPIECE in text:
        borders[0, ids] = [t.startswith(SPACE_OF_SENTENCEPIECE) for t in tokens]
    elif '"ByteLevel"' in text:
        borders[0, ids] = [token.startswith(SPACES_OF_BYTES) for token in tokens]
    else:
        return None
    return borders
