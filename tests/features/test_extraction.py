"""Folders of features: what is in them, and that they stay of one command."""

import fcntl
import json
import os

import numpy as np
import pytest

from tests.evaluation.predictors import random_embedding
from tests.features.embedding import WIDTH, Listed, loaded, plain
from tests.recipes import tiny
from vlp_jax import build, features
from vlp_jax.core import trees
from vlp_jax.core.errors import BadSample, ConfigError, RunError
from vlp_jax.features.extraction import Extraction, Settings
from vlp_jax.features.formats import FORMATS

BAD = BadSample("image_missing")
SOURCE = Listed(
    *(BAD if n in (2, 3) else plain(n, n % 3, label=n % 2) for n in range(11)),
    class_names=("even", "odd"),
)


def extraction(folder, source=SOURCE, told=None, settings=None, **model):
    settings = Settings(**{"shard_size": 4, "threads": 2} | (settings or {}))
    return Extraction(source, loaded(**model), folder, settings, told or {})


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("form", list(FORMATS))
def test_every_sample_that_can_be_used_is_there(form, tmp_path):
    found = extraction(tmp_path, settings={"format": form})
    assert not found.finished and str(found.shards).startswith("3 in ")
    total = found.run()
    assert (total.samples, total.bad) == (9, {"image_missing": 2})
    data = features.read(tmp_path)
    assert data["index"].tolist() == [0, 1, 4, 5, 6, 7, 8, 9, 10]
    assert data["name"].tolist() == [f"{n}.png" for n in data["index"]]
    assert data["label"].tolist() == [n % 2 for n in data["index"]]
    assert data["captions_count"].tolist() == [n % 3 for n in data["index"]]
    for number, row in zip(data["index"], data["image_embedding"], strict=True):
        picture = SOURCE[int(number)].image.tobytes()
        np.testing.assert_array_equal(row, random_embedding(picture))
    for text, row in zip(data["captions"], data["text_embedding"], strict=True):
        np.testing.assert_array_equal(row, random_embedding(text))
    about = features.manifest(tmp_path)
    ending = FORMATS[form].ENDING
    assert about["shards"] == [
        {"file": f"features-{k:05d}-of-00003.{ending}", "samples": n}
        for k, n in enumerate((2, 4, 3))
    ]
    assert about["class_names"] == ["even", "odd"] and about["format"] == form
    assert about["left_out"] == {"image_missing": 2} and about["read"] == 11
    assert about["keys"]["image_embedding"]["shape"] == ["samples", WIDTH]
    assert about["checkpoint"]["path"] == "runs/fake" and about["samples"] == 9
    assert about["checkpoint"]["digest"] == trees.digest(
        dict(found.predictor.variables)
    )
    assert set(about["keys"]) == set(data)


def test_a_restart_goes_on_and_gives_the_same_bytes(tmp_path):
    extraction(tmp_path / "whole").run()

    class Dying(Listed):
        def __getitem__(self, index):
            if index == 6 and self.dying:
                raise KeyboardInterrupt
            return super().__getitem__(index)

    source = Dying(*SOURCE.samples, class_names=SOURCE.class_names)
    source.fingerprint, source.dying = SOURCE.fingerprint, False
    found = extraction(tmp_path / "cut", source)
    source.dying = True
    with pytest.raises(KeyboardInterrupt):
        found.run()
    shard = "features-00000-of-00003.npz"
    assert [x for x in contents(tmp_path / "cut") if x.endswith("npz")] in ([shard], [])
    with pytest.raises(ConfigError, match="holds no finished features"):
        features.read(tmp_path / "cut")
    (tmp_path / "cut" / ".features-00001-of-00003.npz.tmp").write_bytes(b"killed")
    again = extraction(tmp_path / "cut")
    again.run()
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")
    assert again.finished


def test_a_shard_that_is_removed_is_written_anew(tmp_path):
    extraction(tmp_path).run()
    before = contents(tmp_path)
    (tmp_path / "features-00001-of-00003.npz").unlink()
    found = extraction(tmp_path)
    assert found.shards.missing() == [1] and not found.finished
    found.run()
    assert contents(tmp_path) == before


def test_a_folder_belongs_to_one_checkpoint_one_dataset_and_its_settings(tmp_path):
    told = {"size": 3}
    extraction(tmp_path, told=told).run()
    before = contents(tmp_path)

    def refused(said, **changed):
        with pytest.raises(ConfigError, match=said) as caught:
            extraction(tmp_path, **{"told": told} | changed)
        assert "\n" not in str(caught.value)

    refused("begun with another checkpoint, .*weights '", weight=2.0)
    refused("step 3", step=4)
    refused("1 changed: all", source=Listed(*SOURCE.samples[:10], plain(4)))
    refused("source 'listed'", source=Listed(name="another"))
    refused("settings.size 3", told={"size": 4})
    refused("format 'npz'", settings={"format": "parquet"})
    refused("shard_size 4", settings={"shard_size": 5})
    refused("texts True", settings={"texts": False})
    moved = extraction(tmp_path, told=told, path="elsewhere", batch_size=16)
    assert moved.finished
    assert contents(tmp_path) == before


def test_two_at_once(tmp_path):
    with open(tmp_path / ".extract.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ConfigError, match="another extract is writing"):
            extraction(tmp_path)
    assert extraction(tmp_path).run().samples == 9


def test_without_texts_there_are_but_captions(tmp_path):
    extraction(tmp_path, settings={"texts": False}).run()
    found = features.read(tmp_path)
    assert "text_embedding" not in found and len(found["captions"]) == 8
    extraction(tmp_path / "none", Listed(plain(1), plain(2))).run()
    assert list(features.read(tmp_path / "none")) == sorted(
        ("index", "name", "image_embedding")
    )


@pytest.mark.parametrize("form", list(FORMATS))
def test_shards_without_a_sample(form, tmp_path):
    source = Listed(*[BAD] * 4, plain(4, 1, label=0), *[BAD] * 5)
    settings = {"format": form, "shard_size": 2}
    assert extraction(tmp_path, source, settings=settings).run().samples == 1
    assert features.read(tmp_path)["index"].tolist() == [4]


def test_nothing_usable(tmp_path):
    found = extraction(tmp_path, Listed(BAD, BAD))
    with pytest.raises(RunError, match="none of the 2 samples of listed.*2 image_miss"):
        found.run()
    assert not (tmp_path / "_manifest.json").exists()


def test_what_makes_no_sense(tmp_path):
    for given, said in (
        ({"format": "parket"}, "unknown format of features 'parket'.*'parquet'"),
        ({"shard_size": 0}, "shard_size is 0"),
        ({"threads": 0}, "threads is 0"),
        ({"max_bad_share": 1.5}, "max_bad_share is 1.5"),
    ):
        with pytest.raises(ConfigError, match=said):
            Settings(**given)
    with pytest.raises(ConfigError, match="an? Embedder cannot embed: it has no embed"):
        extraction(tmp_path / "x", able=False)
    assert not (tmp_path / "x").exists()


def test_a_full_disk_is_explained_and_leaves_no_half_shard(tmp_path, monkeypatch):
    def full(path, columns):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    found = extraction(tmp_path)
    monkeypatch.setattr(FORMATS["npz"], "write", full)
    with pytest.raises(RunError, match="No space left on device; the same command"):
        found.run()
    assert sorted(os.listdir(tmp_path)) == [".extract.json", ".extract.lock"]


def test_how_the_model_sees_pictures_is_kept(tmp_path):
    extraction(tmp_path)
    own = json.loads((tmp_path / ".extract.json").read_text())
    for key, value in build.keywords(tiny().preprocessing).items():
        found = own[f"preprocessing.{key}"]
        assert found == (list(value) if isinstance(value, tuple) else value)
