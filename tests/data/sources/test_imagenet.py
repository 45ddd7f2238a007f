"""ImageNet in class folders and flat, with either table of labels."""

import pickle

import numpy as np
import pytest
from scipy.io import savemat

from tests.data.sources.conftest import jpeg
from vlp_jax.core.errors import BadSample
from vlp_jax.data.sources.imagenet import ImageNet
from vlp_jax.evaluation.prompts import chosen


def found(source) -> list[tuple]:
    examples = [source[k] for k in range(len(source))]
    return [(e.name, e.label, e.captions[0]) for e in examples]


def test_class_folders(disk):
    disk.pictures(
        "train/n01443537/n01443537_2.JPEG",
        "train/n01440764/n01440764_18.JPEG",
        "train/n01440764/n01440764_3.JPEG",
        "train/stray.JPEG",
    )
    (disk.root / "train" / "n00000001").mkdir()  # empty, and not one of the 1,000
    source = ImageNet(str(disk.root))
    assert source.class_names == ("n00000001", "tench", "goldfish")
    assert found(source) == [
        ("n01440764/n01440764_18.JPEG", 1, "a photo of a tench"),
        ("n01440764/n01440764_3.JPEG", 1, "a photo of a tench"),
        ("n01443537/n01443537_2.JPEG", 2, "a photo of a goldfish"),
    ]
    assert source[0].image == jpeg(1) and source.dropped == {"class_missing": 1}
    assert source.name == "imagenet/train"
    assert len(chosen(None, source)) == 80 and len(source[0].captions) == 1
    assert found(pickle.loads(pickle.dumps(source))) == found(source)
    named = ImageNet(
        str(disk.root), class_names=("x", "y", "z"), templates=("{}!", "one {}")
    )
    assert named[2].captions == ("z!", "one z")
    assert named.fingerprint == source.fingerprint
    (disk.root / "train/n01443537/n01443537_2.JPEG").unlink()
    with pytest.raises(BadSample):
        source[2]
    assert ImageNet(str(disk.root)).fingerprint != source.fingerprint


VALIDATION = [f"ILSVRC2012_val_0000000{k}.JPEG" for k in (1, 2, 3)]
EXPECTED = [
    (VALIDATION[0], 999, "a photo of a toilet paper"),
    (VALIDATION[1], 0, "a photo of a tench"),
]


def test_flat_validation_with_kaggles_table(disk):
    folder = "ILSVRC/Data/CLS-LOC/val"
    disk.pictures(*(f"{folder}/{name}" for name in VALIDATION))
    table = (
        "ImageId,PredictionString\n"
        "ILSVRC2012_val_00000002,n01440764 85 1 499 272 n01440764 1 2 3 4 \n"
        "ILSVRC2012_val_00000001,n15075141 0 0 10 10 \n"
    )
    disk.bytes("LOC_val_solution.csv", table.encode())
    source = ImageNet(str(disk.root), split="val")
    assert found(source) == EXPECTED
    assert source.dropped == {"class_missing": 1} and len(source.class_names) == 1000


def test_flat_validation_with_the_development_kit(disk):
    """Its own numbers of the classes are not in the order of the labels."""
    kit = "ILSVRC2012_devkit_t12/data"
    disk.pictures(*(f"val/{name}" for name in VALIDATION))
    disk.bytes(f"{kit}/ILSVRC2012_validation_ground_truth.txt", b"7\n490\n")
    fields = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O")]
    synsets = np.array(
        [(490, "n01440764", "tench"), (7, "n15075141", "toilet paper")], fields
    )
    savemat(disk.root / kit / "meta.mat", {"synsets": synsets})
    source = ImageNet(str(disk.root), split="val")
    assert found(source) == EXPECTED and source.dropped == {"class_missing": 1}
    disk.bytes(f"{kit}/ILSVRC2012_validation_ground_truth.txt", b"1\n")
    assert "(no 1); expected a number of a class" in disk.refused(ImageNet, split="val")
    disk.bytes(f"{kit}/meta.mat", b"<html>")
    assert "meta.mat" in disk.refused(ImageNet, split="val")


def test_what_is_refused(disk):
    message = disk.refused(ImageNet)
    assert "no folder 'train' of pictures in" in message
    assert message.splitlines()[1].startswith("imagenet reads root/train/n01440764/")
    disk.pictures("val/ILSVRC2012_val_00000001.JPEG", "train/n01440764/a.JPEG")
    message = disk.refused(ImageNet, split="val")
    assert "and there is no LOC_val_solution.csv or ILSVRC2012_devkit_t12" in message
    disk.bytes("LOC_val_solution.csv", b"ImageId,PredictionString\nx,n01440764 1\n")
    message = disk.refused(ImageNet, split="val")
    assert "imagenet/val: no picture with a class" in message
    message = disk.refused(ImageNet, class_names=("a", "b"))
    assert "2 class_names for 1 classes" in message
