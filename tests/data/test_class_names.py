"""Class names by the name of a set, from a file or as given; ImageNet's by WordNet id.

The orders are those of TFDS, which has the labels of the original files.
"""

import importlib
import json
from pathlib import Path

import pytest
import tensorflow_datasets

from vlp_jax.core.errors import ConfigError
from vlp_jax.data.class_names import (
    class_sets,
    imagenet_names,
    named_classes,
    readable,
)

TFDS = Path(tensorflow_datasets.__file__).parent
ROOT = Path(__file__).parents[2]
TEMPLATES = ROOT / "vlp_jax/evaluation/assets/templates.json"
COUNTS = {
    "caltech101": 102,
    "caltech101_vtab": 102,
    "cars": 196,
    "cifar10": 10,
    "cifar100": 100,
    "country211": 211,
    "dtd": 47,
    "eurosat": 10,
    "fer2013": 7,
    "fgvc_aircraft": 100,
    "flowers102": 102,
    "food101": 101,
    "gtsrb": 43,
    "imagenet": 1000,
    "mnist": 10,
    "pcam": 2,
    "pets": 37,
    "renderedsst2": 2,
    "resisc45": 45,
    "stl10": 10,
    "sun397": 397,
    "svhn": 10,
    "voc2007": 20,
}


def test_the_names_of_the_classes():
    names = imagenet_names()
    assert len(names) == 1000 and list(names) == sorted(names)
    assert [*names.values()][:2] == ["tench", "goldfish"]
    assert (names["n02012849"], names["n03126707"]) == (
        "crane bird",
        "construction crane",
    )
    assert [*names.values()][-1] == "toilet paper"
    assert readable(("n01440764", "n00000001", "a_b")) == ("tench", "n00000001", "a b")


def test_the_sets_are_whole():
    sets = class_sets()
    assert {name: len(classes) for name, classes in sets.items()} == COUNTS
    for name, classes in sets.items():
        assert all(word == word.strip() and word for word in classes), name
        # ImageNet's 'missile' and 'sunglasses' name two classes each.
        assert len(classes) - len(set(classes)) == 2 * (name == "imagenet"), name
    assert sorted(sets["caltech101"]) == sorted(sets["caltech101_vtab"])


def test_every_set_has_templates():
    templates = json.loads(TEMPLATES.read_text())
    assert set(COUNTS) - set(templates) == {"caltech101_vtab", "imagenet"}
    assert "openai_imagenet80" in templates


def label_file(path: str) -> list[str]:
    return (TFDS / "image_classification" / path).read_text().split()


def constant(module: str, name: str) -> list[str]:
    return getattr(importlib.import_module(f"tensorflow_datasets.{module}"), name)


RESISC45 = "datasets.resisc45.resisc45_dataset_builder"
PETS = "datasets.oxford_iiit_pet.oxford_iiit_pet_dataset_builder"


def test_labels_are_those_of_tfds():
    def plain(names):
        return tuple(name.replace("_", " ").replace("/", " ") for name in names)

    sets = class_sets()
    assert sets["food101"] == plain(label_file("food-101_classes.txt"))
    sun = [name[len("/a/") :] for name in label_file("sun397_labels.txt")]
    assert sets["sun397"] == plain(sun)
    for name in ("cifar10", "cifar100", "fgvc_aircraft", "stl10", "voc2007"):
        assert list(sets[name]) == sorted(sets[name]), name
    assert sets["dtd"] == tuple(label_file("dtd_key_attributes.txt"))
    assert sets["resisc45"] == plain(constant(RESISC45, "_LABELS"))
    assert sets["cars"] == tuple(constant("image_classification.cars196", "_NAMES"))
    pets = [name.lower() for name in sets["pets"]]
    assert pets == [x.lower() for x in plain(constant(PETS, "_LABEL_CLASSES"))]


def test_caltech101_has_two_orders():
    tfds = label_file("caltech101_labels.txt")
    folders = {"background": "background_google", "leopard": "leopards"}
    folders |= {"motorbike": "motorbikes", "off-center face": "faces"}
    sets, known = class_sets(), {"accordion", "wrench", *folders}
    for word in known:  # where the name and TFDS' are alike
        row = sets["caltech101_vtab"].index(word)
        assert tfds[row] == folders.get(word, word)
    first = ("background", "off-center face", "centered face", "leopard", "motorbike")
    assert sets["caltech101"][:5] == first
    rest = [word for word in sets["caltech101_vtab"] if word not in first]
    assert list(sets["caltech101"][5:]) == rest


def test_a_set_a_file_or_the_names(tmp_path):
    assert named_classes(None) == named_classes(()) == ()
    assert named_classes(["cat", "dog"]) == ("cat", "dog")
    assert named_classes("cifar10")[1] == "automobile"
    assert named_classes("imagenet")[0] == "tench"
    path = tmp_path / "classnames.txt"
    path.write_text("Katze\n Hündin \n", encoding="utf-8")
    assert named_classes(str(path)) == ("Katze", "Hündin")
    said = "unknown class_names 'cifra10', and no text file.*did you mean 'cifar10'"
    with pytest.raises(ConfigError, match=said):
        named_classes("cifra10")
