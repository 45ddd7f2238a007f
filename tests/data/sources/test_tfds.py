"""TFDS: datasets prepared here without TensorFlow, and what is said without files."""

import json
import pickle
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import tensorflow_datasets as tfds

from tests.data.sources.conftest import jpeg
from tests.data.sources.tiny_tfds import (
    TinyCaptions,
    TinyClasses,
    TinyPairs,
    TinyTexts,
)
from vlp_jax.core.errors import BadSample, ConfigError
from vlp_jax.data.sources.tfds import PROMPTS, Tfds, prepared_folder
from vlp_jax.evaluation.prompts import chosen, templates


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    root = tmp_path_factory.mktemp("tfds")
    for builder in (TinyCaptions, TinyClasses, TinyPairs, TinyTexts):
        made = builder(data_dir=str(root), file_format="array_record")
        made.download_and_prepare()
    return root


def refused(*arguments, **keywords) -> str:
    with pytest.raises(ConfigError) as caught:
        Tfds(*arguments, **keywords)
    assert str(caught.value).count("\n") <= 1
    return str(caught.value)


def order_of(source) -> list[bytes]:
    return [source[k].image for k in range(len(source))]


def test_captions_and_encoded_pictures(data_dir):
    source = Tfds("tiny_captions", root=str(data_dir))
    assert len(source) == 6 and source.class_names == ()
    assert source.name == "tfds/tiny_captions/train"
    # TFDS shuffles when it prepares; every picture is there with its own captions.
    found = {
        example.captions: example.image for example in map(source.__getitem__, range(6))
    }
    assert found == {(f"a {k}", f"one {k}"): jpeg(k) for k in range(6)}
    assert source[0].label is None and source[0].name.endswith("train/0")
    assert order_of(pickle.loads(pickle.dumps(source))) == order_of(source)
    assert "tensorflow" not in sys.modules


def test_captions_that_cannot_be_used(data_dir):
    source = Tfds("tiny_captions:1.0.0", split="val", root=str(data_dir))
    causes, captions = set(), []
    for index in range(4):
        try:
            captions.append(source[index].captions)
        except BadSample as bad:
            causes.add(bad.cause)
    assert causes == {"caption_unreadable", "caption_missing"}
    assert sorted(captions) == [(), ("ü",)]


def test_classes(data_dir):
    source = Tfds("tiny_classes", root=str(data_dir), templates=("a {}", "one {}"))
    assert source.class_names == ("tench", "goldfish", "big dog")
    examples = {jpeg(k): k % 3 for k in range(5)}
    for index in range(5):
        example = source[index]
        assert example.label == examples[example.image]
        name = source.class_names[example.label]
        assert example.captions == (f"a {name}", f"one {name}")
    kinds = Tfds("tiny_classes", root=str(data_dir), label_column="kind")
    assert kinds.class_names == ("a", "b")
    unlabelled = Tfds("tiny_classes", split="test", root=str(data_dir))
    assert unlabelled[0].label is None and unlabelled[0].captions == ()
    named = Tfds("tiny_classes", root=str(data_dir), class_names=("x", "y", "z"))
    assert named.class_names == ("x", "y", "z") and named.templates == ()
    (data_dir / "names.txt").write_text("x\ny\nz\n")
    listed = str(data_dir / "names.txt")
    listed = Tfds("tiny_classes", root=str(data_dir), class_names=listed)
    assert listed.class_names == named.class_names
    message = refused("tiny_classes", root=str(data_dir), class_names="mnist")
    assert "10 class_names for 3 classes" in message
    message = refused("tiny_classes", root=str(data_dir), class_names=("x",))
    assert "1 class_names for 3 classes" in message


def test_known_datasets_come_with_their_prompts(data_dir, monkeypatch):
    assert {name: templates(prompts) for name, prompts in PROMPTS.items()}
    monkeypatch.setitem(PROMPTS, "tiny_classes", "cifar10")
    source = Tfds("tiny_classes:1.0.0", root=str(data_dir), templates=("a {}",))
    assert len(chosen(None, source)) == 18 and len(source[0].captions) == 1


def test_splits_in_tfds_notation(data_dir):
    root = str(data_dir)
    whole = Tfds("tiny_captions", root=root)
    part = Tfds("tiny_captions", split="train[:50%]", root=root)
    both = Tfds("tiny_captions", split="train[3:]+val", root=root)
    assert order_of(part) == order_of(whole)[:3]
    assert len(both) == 7
    assert [both[k].image for k in range(3)] == order_of(whole)[3:]
    assert set(whole.fingerprint) == {"tiny_captions-train.array_record-00000-of-00001"}
    assert len(both.fingerprint) == 2
    assert part.fingerprint != whole.fingerprint
    message = refused("tiny_captions", split="test", root=root)
    assert "there are: train, val" in message
    assert "there are: train, val" in refused(
        "tiny_captions", split="train[", root=root
    )
    assert "has no examples" in refused("tiny_classes", split="train[:0]", root=root)


def test_columns(data_dir):
    root = str(data_dir)
    message = refused("tiny_pairs", root=root)
    assert "set image_column to one of: first, second" in message
    message = refused("tiny_pairs", root=root, image_column="thrid")
    assert "image_column='thrid' is not one" in message and "first, second" in message
    message = refused("tiny_pairs", root=root, image_column="first")
    assert "set caption_column to one of: " in message
    source = Tfds(
        "tiny_pairs", root=root, image_column="second", caption_column="texts.title"
    )
    example = source[0]
    number = int(example.captions[0].removeprefix("title "))
    assert example.image == jpeg(number + 1)
    notes = Tfds(
        "tiny_pairs", root=root, image_column="first", caption_column="notes.text"
    )
    assert notes[0].captions == ("x", "y")
    message = refused("tiny_texts", root=root)
    assert "no feature that image_column could name; there are: id, quest" in message
    message = refused("tiny_captions", root=root, label_column="objects.label")
    assert "no feature that label_column could name" in message  # many a picture


# ---- files that are not there, or not as they must be


def test_without_files_two_lines_say_how_to_get_them(tmp_path):
    message = refused("coco_captions", root=str(tmp_path))
    first, second = message.splitlines()
    assert "no files of the TFDS dataset 'coco_captions'" in first
    assert f"root={str(tmp_path)!r}" in first and "pip install tensorflow" in first
    assert second == (
        f"tfds build coco_captions --file_format=array_record --data_dir={tmp_path}"
    )
    assert "tensorflow" not in sys.modules
    assert not list(tmp_path.iterdir())


def test_the_default_folder_is_that_of_tfds(monkeypatch, tmp_path):
    monkeypatch.setattr(tfds.core.constants, "DATA_DIR", str(tmp_path / "here"))
    assert f"--data_dir={tmp_path}/here" in refused("cifar10")


def test_a_wrong_name_has_a_suggestion(tmp_path):
    message = refused("coco_captoins", root=str(tmp_path))
    assert "no TFDS dataset 'coco_captoins'" in message
    assert "did you mean 'coco_captions'" in message


@pytest.mark.fault("F20")
@pytest.mark.parametrize("name", ["../x", "/etc", "x/../../y", ""])
def test_a_name_is_no_path(tmp_path, name):
    (tmp_path / "x").mkdir()
    assert "no TFDS dataset" in refused(name, root=str(tmp_path / "x"))


def test_versions_and_configs(tmp_path):
    def prepare(*folders):
        for folder in folders:
            (tmp_path / folder).mkdir(parents=True)
            (tmp_path / folder / "dataset_info.json").write_text("{}")

    def chosen(name):
        return prepared_folder(tfds, tmp_path, name).relative_to(tmp_path).as_posix()

    prepare("cifar10/3.0.2", "cifar10/3.0.10", "coco/2014/1.1.0")
    (tmp_path / "cifar10" / "4.0.0").mkdir()  # begun, not finished
    assert chosen("cifar10") == "cifar10/3.0.10"
    assert chosen("cifar10:3.0.2") == "cifar10/3.0.2"
    assert chosen("coco") == chosen("coco/2014") == "coco/2014/1.1.0"
    with pytest.raises(ConfigError, match="unknown version of cifar10.*'4.0.0'"):
        chosen("cifar10:4.0.0")
    prepare("coco/2017/1.1.0")
    with pytest.raises(ConfigError, match="name one of coco/2014, coco/2017"):
        chosen("coco")
    message = refused("cifar10", root=str(tmp_path))
    assert message.startswith("TFDS cannot open")


@pytest.fixture
def copied(data_dir, tmp_path):
    """(data_dir, version folder) of a copy of tiny_captions."""
    shutil.copytree(data_dir / "tiny_captions", tmp_path / "tiny_captions")
    return tmp_path, tmp_path / "tiny_captions" / "1.0.0"


def test_another_file_format_says_how_to_convert(copied):
    root, folder = copied
    info = json.loads((folder / "dataset_info.json").read_text())
    (folder / "dataset_info.json").write_text(
        json.dumps(info | {"fileFormat": "tfrecord"})
    )
    message = refused("tiny_captions", root=str(root))
    first, second = message.splitlines()
    assert "holds tfrecord, which cannot be read at random" in first
    assert second == (
        f"tfds convert_format --dataset_version_dir={folder}"
        " --out_file_format=array_record"
    )


def test_a_converted_dataset_is_read(copied):
    """As tfds convert_format leaves it: array_record beside the tfrecord."""
    root, folder = copied
    expected = Tfds("tiny_captions", root=str(root))
    info = json.loads((folder / "dataset_info.json").read_text())
    formats = {"fileFormat": "tfrecord", "alternativeFileFormats": ["array_record"]}
    (folder / "dataset_info.json").write_text(json.dumps(info | formats))
    source = Tfds("tiny_captions", root=str(root))
    assert order_of(source) == order_of(expected)
    assert source.fingerprint == expected.fingerprint


def test_files_of_parquet_are_read(tmp_path, data_dir):
    made = TinyCaptions(data_dir=str(tmp_path), file_format="parquet")
    made.download_and_prepare()
    found, expected = (
        order_of(Tfds("tiny_captions", root=str(root))) for root in (tmp_path, data_dir)
    )
    assert found == expected


@pytest.mark.fault("F13")
def test_a_missing_shard_is_named(copied):
    root, folder = copied
    (folder / "tiny_captions-train.array_record-00000-of-00001").unlink()
    message = refused("tiny_captions", root=str(root))
    assert "tiny_captions-train.array_record-00000-of-00001' is missing" in message


@pytest.mark.fault("F13")
def test_a_changed_shard_changes_the_fingerprint(copied):
    root, folder = copied
    before = Tfds("tiny_captions", root=str(root)).fingerprint
    shard = folder / "tiny_captions-train.array_record-00000-of-00001"
    shard.write_bytes(shard.read_bytes() + b"\0")
    assert Tfds("tiny_captions", root=str(root)).fingerprint != before


@pytest.mark.fault("F11")
def test_a_broken_shard_is_bad_samples(copied):
    root, folder = copied
    shard = folder / "tiny_captions-train.array_record-00000-of-00001"
    data = bytearray(shard.read_bytes())
    data[100:-200] = bytes(len(data) - 300)
    shard.write_bytes(data)
    source = Tfds("tiny_captions", root=str(root))
    for index in range(6):
        with pytest.raises(BadSample) as caught:
            source[index]
        assert caught.value.cause == "image_unreadable"


def test_a_shard_that_was_cut_is_bad_samples(copied):
    root, folder = copied
    shard = folder / "tiny_captions-train.array_record-00000-of-00001"
    shard.write_bytes(shard.read_bytes()[:-1000])
    source = Tfds("tiny_captions", root=str(root))
    with pytest.raises(BadSample):
        source[0]
    shard.unlink()
    with pytest.raises(BadSample):
        source[5]


def test_reading_from_threads(data_dir):
    source = Tfds("tiny_captions", root=str(data_dir))
    expected = order_of(source) * 20
    with ThreadPoolExecutor(8) as pool:
        found = [
            example.image for example in pool.map(source.__getitem__, [*range(6)] * 20)
        ]
    assert found == expected


def test_without_the_package(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    message = refused("coco_captions", root=str(tmp_path))
    assert "pip install tensorflow-datasets importlib_resources" in message
