"""Features are read whole or in part; what is missing or damaged is said."""

import json

import pytest

from tests.features.embedding import Listed, plain
from tests.features.test_extraction import extraction
from vlp_jax import features
from vlp_jax.core.errors import ConfigError
from vlp_jax.features.formats import FORMATS


@pytest.fixture(params=list(FORMATS))
def folder(request, tmp_path):
    source = Listed(*(plain(n, 1) for n in range(6)))
    extraction(tmp_path, source, settings={"format": request.param}).run()
    return tmp_path


def refused(said, *given):
    with pytest.raises(ConfigError, match=said) as caught:
        features.read(*given)
    assert "\n" not in str(caught.value)


def test_some_of_the_keys(folder):
    whole, some = features.read(folder), features.read(str(folder), ["name", "index"])
    assert list(some) == ["name", "index"] and len(some["name"]) == 6
    assert (some["index"] == whole["index"]).all()
    refused("unknown key .*'lable'", folder, ["lable"])
    refused("unknown key .*'indx'.*did you mean 'index'", folder, ["indx"])


def test_damage(folder):
    about = features.manifest(folder)
    path = folder / about["shards"][1]["file"]
    path.write_bytes(path.read_bytes()[:-50])
    refused(f"{path.name} cannot be read: .*; remove it, and the", folder)
    path.unlink()
    refused(f"{path.name} cannot be read", folder)
    (folder / "_manifest.json").write_text(json.dumps({"vlp_jax_features": "2"}))
    refused("is of version '2'; known: '1'", folder)
    (folder / "_manifest.json").write_text("[]")
    refused("_manifest.json is damaged", folder)


def test_no_features(tmp_path):
    refused("holds no finished features .*--output=.* writes them", tmp_path)
