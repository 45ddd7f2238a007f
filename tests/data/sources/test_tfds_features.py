"""Which features of a TFDS dataset are taken, and what is said if it is not clear."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

from vlp_jax.core.errors import ConfigError
from vlp_jax.data.sources.tfds_features import Features

IMAGE = tfds.features.Image(encoding_format="jpeg")
TEXT = tfds.features.Text()
KINDS = tfds.features.ClassLabel(names=["cat", "dog"])
MANY = tfds.features.Sequence


def features(**found) -> Features:
    return Features(tfds, tfds.features.FeaturesDict(found), "tiny")


COCO = features(
    image=IMAGE,
    captions=MANY({"id": np.int64, "text": np.object_}),
    objects=MANY({"label": KINDS, "mask": IMAGE}),
    id=np.int64,
)
PAIRS = features(
    first=IMAGE,
    second=IMAGE,
    texts={"title": TEXT, "caption": TEXT},
    notes={"text": MANY(TEXT)},
    kind=KINDS,
    group=KINDS,
)


def refused(choose, chosen=None) -> str:
    with pytest.raises(ConfigError) as caught:
        choose(chosen)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_features_are_named_by_their_dotted_paths_in_one_order():
    expected = "captions.id, captions.text, id, image, objects.label, objects.mask"
    assert COCO.listed() == expected


# ---- what is clear without a setting


def test_the_only_picture_or_the_one_named_image():
    assert COCO.image(None) == ("image",)  # a picture within a sequence is many
    assert features(photo=IMAGE, id=np.int64).image(None) == ("photo",)
    assert features(image=IMAGE, mask=IMAGE).image(None) == ("image",)
    assert features(x={"photo": IMAGE}).image(None) == ("x", "photo")


@pytest.mark.parametrize(
    ("found", "path"),
    [
        ({"caption": TEXT, "filename": TEXT}, ("caption",)),
        ({"captions": MANY({"text": np.object_})}, ("captions", "text")),
        ({"x": {"description": TEXT}, "title": TEXT}, ("x", "description")),
        ({"title": TEXT, "url": TEXT}, None),  # none of them sounds like captions
        ({"caption": np.int64}, None),
    ],
)
def test_the_only_text_that_sounds_like_captions(found, path):
    assert features(**found).caption(None) == path


def test_the_only_label_or_the_one_named_label():
    assert features(image=IMAGE, kind=KINDS).label(None) == ("kind",)
    assert features(label=KINDS, kind=KINDS).label(None) == ("label",)
    assert PAIRS.label(None) is None  # no captions are made where it is not clear
    assert COCO.label(None) is None


# ---- what is chosen


def test_features_that_are_chosen():
    assert PAIRS.image("second") == ("second",)
    assert PAIRS.caption("texts.title") == ("texts", "title")
    assert PAIRS.caption("notes.text") == ("notes", "text")
    assert PAIRS.label("group") == ("group",)
    assert PAIRS.class_names(("group",)) == ("cat", "dog")


@pytest.mark.parametrize(
    ("choose", "chosen", "said"),
    [
        (
            PAIRS.image,
            None,
            "tiny: it is not clear which to take; set image_column to one of: first, "
            "second",
        ),
        (
            PAIRS.image,
            "thrid",
            "tiny: image_column='thrid' is not one to take; set image_column to one "
            "of: first, second",
        ),
        (
            PAIRS.caption,
            None,
            "tiny: it is not clear which to take; set caption_column to one of: "
            "notes.text, texts.caption",
        ),
        (
            features(id=np.int64, question=TEXT).image,
            None,
            "tiny has no feature that image_column could name; there are: id, question",
        ),
        (
            COCO.label,
            "objects.label",
            "tiny has no feature that label_column could name; there are: "
            + COCO.listed(),
        ),
    ],
)
def test_what_is_not_clear_is_listed(choose, chosen, said):
    assert refused(choose, chosen) == said


def test_the_nearest_name_is_suggested():
    said = refused(PAIRS.caption, "texts.titel")
    assert "caption_column='texts.titel' is not one to take" in said
    assert "did you mean 'texts.title'" in said
    assert "did you mean 'group'" in refused(PAIRS.label, "gruop")


# ---- how it is read


def test_pictures_stay_as_they_are_encoded():
    skip = object()
    assert COCO.encoded(skip) == {"image": skip}
    assert PAIRS.encoded(skip) == {"first": skip, "second": skip}
    nested = features(a=IMAGE, x={"y": {"a": IMAGE, "b": IMAGE}, "z": IMAGE}, n=TEXT)
    expected = {"a": skip, "x": {"y": {"a": skip, "b": skip}, "z": skip}}
    assert nested.encoded(skip) == expected
    assert features(id=np.int64).encoded(skip) == {}
