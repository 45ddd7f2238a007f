"""One of two processes that write and answer together; prints the texts, as JSON."""

import json

import jax
import numpy as np

from tests.models import tiny_writer
from tests.models.tiny_writer import PICTURES, QUESTIONS
from vlp_jax.parallel import hosts


def main() -> None:
    hosts.start()
    predictor = tiny_writer.predictor(jax.device_count(), 10)
    variables = jax.tree.map(np.asarray, predictor.variables)  # on no device of one
    predictor = predictor.with_variables(variables)
    tokens = predictor.image_tokens(PICTURES)
    sample = dict(method="sample", length=5)
    found = {
        "processes": jax.process_count(),
        "match": np.round(predictor.match(tokens, QUESTIONS), 4).tolist(),
        "captions": predictor.generate(PICTURES, length=5),
        "samples": predictor.generate(PICTURES, **sample),
        "written": predictor.answer(PICTURES, QUESTIONS, length=5),
        "chosen": predictor.answer(PICTURES, QUESTIONS, ["a dog", "two", "red"]),
    }
    print("found", json.dumps(found))


if __name__ == "__main__":
    main()
