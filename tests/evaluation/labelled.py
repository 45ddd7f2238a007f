"""Features as a source and a model that sees them: for what learns from embeddings."""

import numpy as np
from sklearn.datasets import load_digits

from vlp_jax.core.types import Example


class Labelled:
    """Examples whose pictures only stand for the number of a row of features."""

    fingerprint = {}

    def __init__(self, rows, labels, name="labelled", class_names=None):
        self.rows, self.labels, self.name = rows, labels, name
        names = [str(label) for label in range(max(labels) + 1)]
        self.class_names = names if class_names is None else class_names

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Example:
        row = int(self.rows[index])
        picture = np.full((1, 1, 3), (row // 65536, row // 256 % 256, row % 256))
        label = None if self.labels[index] is None else int(self.labels[index])
        return Example(picture.astype(np.uint8), label=label, name=f"row {row}")


class Seeing:
    """A predictor that gives the rows of a table that pictures stand for."""

    batch_size = 64

    def __init__(self, features):
        self.features = np.float32(features)

    def prepare_image(self, image):
        return image

    def encode_image(self, images):
        rows = images[:, 0, 0].astype(int) @ [65536, 256, 1]
        return self.features[rows]


def handwritten(every=5):
    """(predictor, train, test): scikit-learn's digits as unit vectors, split."""
    features, labels = load_digits(return_X_y=True)
    rows = np.arange(len(labels))
    test = rows % every == 0
    predictor = Seeing(features / np.linalg.norm(features, axis=1, keepdims=True))
    return (
        predictor,
        Labelled(rows[~test], labels[~test], "digits/train"),
        Labelled(rows[test], labels[test], "digits/test"),
    )
