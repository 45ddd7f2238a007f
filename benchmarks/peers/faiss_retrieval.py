"""faiss' exact inner product index, as benchmarks/retrieval.py asks for it.

Runs in .venv-peers (tests/peers/install.sh) as `python -m` with a task. Recall in both
directions takes a search each.
"""

import json
import sys

import faiss
import numpy as np

from benchmarks.peers.embeddings import RECALL_AT, embeddings, measured
from benchmarks.peers.side import serve


def found_at(queries, keys, is_right) -> dict[str, float]:
    """Share of queries with a right key among the first k."""
    index = faiss.IndexFlatIP(keys.shape[1])
    index.add(keys)
    _, nearest = index.search(queries, max(RECALL_AT))
    right = is_right(nearest)
    return {str(k): float(right[:, :k].any(axis=1).mean()) for k in RECALL_AT}


def main() -> None:
    task = json.loads(sys.argv[1])
    faiss.omp_set_num_threads(task["cores"])
    images, texts, text_image = embeddings(task)

    def images_of_texts() -> dict:
        own = text_image[:, None]
        return {"image": found_at(texts, images, lambda found: found == own)}

    def both() -> dict:
        own = np.arange(len(images))[:, None]
        of_images = found_at(images, texts, lambda found: text_image[found] == own)
        return images_of_texts() | {"text": of_images}

    answers = {
        "images of texts": lambda: measured(images_of_texts),
        "both": lambda: measured(both),
    }
    serve({"name": f"faiss {faiss.__version__}"}, answers)


if __name__ == "__main__":
    main()
