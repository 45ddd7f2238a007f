"""Exported programs compute what the model does, and say nothing of this machine."""

from pathlib import Path

import pytest

from tests.porting.random_models import VIT, random_model
from vlp_jax import endpoints, proof
from vlp_jax.core.errors import ConfigError


@pytest.fixture(scope="module")
def model():
    return random_model(VIT)


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "tiny"
    return endpoints.write(f"export:{path}", model)


def test_they_do_not_tell_where_they_were_made(folder):
    here = str(Path(__file__).parents[2]).encode()
    for name in ("image.bin", "text.bin"):
        program = (folder / name).read_bytes()
        assert b"layers.py" in program and here not in program


def test_they_prove_themselves(model, folder):
    (found,) = proof.prove("export", folder, model)
    assert found.side == "the exported programs" and found.holds


def test_they_are_not_read(folder):
    with pytest.raises(ConfigError, match="to read a model from, 'export'"):
        endpoints.read(f"export:{folder}")
