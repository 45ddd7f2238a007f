"""pycocoevalcap's scores and tokens, for the captions of a test.

Runs in .venv-peers (install.sh): `python -m tests.peers.coco_captions_side TASK`. TASK
names a folder with captions.json: {"guesses": [text], "references": [[text]]}, where
tokens are apart by single blanks for `scores`. Needs Java for `tokens` alone.
"""

import json
import shutil
import sys
from pathlib import Path

from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

from benchmarks.peers.side import serve


def scores(guesses: list[str], references: list[list[str]]) -> dict:
    own = dict(enumerate(references))
    written = {number: [text] for number, text in enumerate(guesses)}
    return {
        "bleu": Bleu(4).compute_score(own, written, verbose=0)[0],
        "rouge": Rouge().compute_score(own, written)[1].tolist(),
        "cider": Cider().compute_score(own, written)[1].tolist(),
    }


def tokens(guesses: list[str], references: list[list[str]]) -> dict:
    """Of the guesses; {} where there is no Java."""
    if shutil.which("java") is None:
        return {}
    given = {number: [{"caption": text}] for number, text in enumerate(guesses)}
    found = PTBTokenizer().tokenize(given)
    return {"tokens": [found[number][0].split() for number in range(len(guesses))]}


def main() -> None:
    folder = Path(json.loads(sys.argv[1])["folder"])

    def answer(function):
        return lambda: function(**json.loads((folder / "captions.json").read_text()))

    serve({}, {"scores": answer(scores), "tokens": answer(tokens)})


if __name__ == "__main__":
    main()
