"""Captions whose scores are known.

`EXPECTED` is what pycocoevalcap 1.2 finds: tests/peers/coco_captions_side.py, `scores`
of these lines.
"""

GUESSES = [
    "a man riding a wave on a surfboard",
    "a dog a dog a dog",
    "two red trains",
    "a small blue seven above a big red two",
]
REFERENCES = [
    [
        "a man rides a wave on a surfboard",
        "man surfing a big wave in the ocean",
        "a surfer on a wave",
    ],
    ["a dog runs on the grass", "the dog is a brown dog"],
    ["a red train at a station", "two trains stand side by side on the tracks"],
    [
        "a little blue seven above a large red two",
        "a big red two below a small blue seven",
    ],
]
EXPECTED = {
    "bleu": [
        0.7539428571459367,
        0.6538324064157186,
        0.575348072151737,
        0.4961702987101545,
    ],
    "rouge": [0.875, 0.5, 0.30576441102756885, 0.7777777777777778],
    "cider": [
        2.8775960777222895,
        1.0833353342877075,
        0.3929101494508733,
        5.100928233861353,
    ],
}


def tokens():
    """(guesses, references) as lists of tokens."""
    own = [[text.split() for text in texts] for texts in REFERENCES]
    return [text.split() for text in GUESSES], own
