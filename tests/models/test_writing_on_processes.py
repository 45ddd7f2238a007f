"""Two processes of four devices match, write and answer as one device does."""

from pathlib import Path

import numpy as np
import pytest

from tests.models import tiny_writer
from tests.models.tiny_writer import PICTURES, QUESTIONS
from tests.parallel.test_two_processes import run_two
from vlp_jax.launching.local import free_port


@pytest.mark.long
def test_two_processes_find_what_one_device_does(tmp_path):
    address = f"127.0.0.1:{free_port()}"

    def variables(index):
        return {
            "JAX_COORDINATOR_ADDRESS": address,
            "JAX_NUM_PROCESSES": "2",
            "JAX_PROCESS_ID": str(index),
        }

    worker = Path(__file__).with_name("writing_worker.py")
    one, other = run_two(tmp_path, variables, worker)
    assert one == other and one["processes"] == 2
    alone = tiny_writer.predictor(1, 32)
    tokens = alone.image_tokens(PICTURES)
    np.testing.assert_allclose(one["match"], alone.match(tokens, QUESTIONS), atol=1e-4)
    assert one["captions"] == alone.generate(PICTURES, length=5)
    sample = dict(method="sample", length=5)
    assert one["samples"] == alone.generate(PICTURES, **sample)
    assert one["written"] == alone.answer(PICTURES, QUESTIONS, length=5)
    chosen = alone.answer(PICTURES, QUESTIONS, ["a dog", "two", "red"])
    assert one["chosen"] == chosen
