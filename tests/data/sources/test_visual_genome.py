"""Visual Genome: phrases as captions, their boxes, and questions."""

import pickle

import pytest

from tests.data.sources.conftest import jpeg, sampled
from vlp_jax.core.types import Question
from vlp_jax.data.questions import count_answers, questions_of
from vlp_jax.data.sources.visual_genome import VisualGenome

URL = "https://cs.stanford.edu/people/rak248"
IMAGES = [
    {
        "width": 800,
        "url": f"{URL}/{folder}/{number}.jpg",
        "height": 600,
        "image_id": number,
        "coco_id": None,
        "flickr_id": None,
    }
    for folder, number in (("VG_100K_2", 1), ("VG_100K", 2), ("VG_100K", 3))
]


def region(image: int, number: int, phrase: str, x=1, y=2, width=30, height=40) -> dict:
    return {
        "region_id": number,
        "width": width,
        "height": height,
        "image_id": image,
        "phrase": phrase,
        "y": y,
        "x": x,
    }


REGIONS = [
    {
        "regions": [
            region(1, 1382, "the clock is green in colour"),
            region(1, 1383, " "),
            region(1, 1384, "shade is along the street ", x=-3, y=0),
        ],
        "id": 1,
    },
    {"regions": [], "id": 2},
    {"regions": [region(3, 1385, "a man")], "id": 3},
]
QUESTIONS = [
    {
        "id": 3,
        "qas": [
            {
                "a_objects": [],
                "question": "What colour is the clock?",
                "image_id": 3,
                "qa_id": 986768,
                "answer": "Green.",
                "q_objects": [],
            }
        ],
    },
    {"id": 1, "qas": []},
]


def write(disk) -> str:
    disk.json("image_data.json", IMAGES)
    disk.json("region_descriptions.json", REGIONS)
    disk.pictures("VG_100K_2/1.jpg", "VG_100K/2.jpg", "VG_100K/3.jpg")
    return str(disk.root)


def test_phrases_are_captions_and_know_where(disk):
    source = VisualGenome(write(disk))
    assert len(source) == 2
    assert source[0].captions == (
        "the clock is green in colour",
        "shade is along the street",
    )
    assert [(r.box, r.label, r.mask) for r in source[0].regions] == [
        ((1, 2, 31, 42), 0, None),
        ((0, 0, 27, 40), 1, None),
    ]
    assert (source[0].name, source[0].image) == ("VG_100K_2/1.jpg", jpeg(0))
    assert (source[1].name, source[1].image) == ("VG_100K/3.jpg", jpeg(2))
    assert source[1].captions == ("a man",) and source[1].questions == ()
    # One phrase, and the picture without any.
    assert source.dropped == {"caption_missing": 2}
    assert pickle.loads(pickle.dumps(source))[1].captions == ("a man",)


def test_questions(disk):
    root = write(disk)
    disk.json("question_answers.json", QUESTIONS)
    source = VisualGenome(root, questions=True)
    assert source[0].questions == ()
    assert source[1].questions == (
        Question("What colour is the clock?", ("Green.",), "986768"),
    )
    plain = VisualGenome(root).fingerprint
    assert source.fingerprint.items() > plain.items()
    changed = [{**QUESTIONS[0], "qas": [{**QUESTIONS[0]["qas"][0], "answer": "Red."}]}]
    disk.json("question_answers.json", changed)
    assert VisualGenome(root, questions=True).fingerprint != source.fingerprint
    assert VisualGenome(root).fingerprint == plain


def test_samples_of_the_stream_of_questions(disk):
    root = write(disk)
    disk.json("question_answers.json", QUESTIONS)
    source = VisualGenome(root, questions=True)
    found = sampled(source, ("green",))
    drawn = [found[position] for position in range(8)]
    assert {int(sample["sample_id"]) for sample in drawn} == {1}  # the other has none
    assert {found.said(x) for x in drawn} == {"What colour is the clock? green"}
    assert all(sample["answer_labels"].tolist() == [0] + 9 * [-1] for sample in drawn)
    assert all(sample["answer_scores"].tolist() == [1] + 9 * [0] for sample in drawn)
    assert found.describe_bad() == "question_missing: VG_100K_2/1.jpg"
    assert count_answers(source) == {"green": 1}
    (disk.root / "VG_100K" / "3.jpg").unlink()
    assert questions_of(source, 1)[0].answers == ("Green.",)
    assert questions_of(VisualGenome(root), 1) == ()


def test_pictures_of_cocos_tests_can_be_left_out(disk):
    root = write(disk)
    numbered = [image | {"coco_id": 40 + k} for k, image in enumerate(IMAGES)]
    disk.json("image_data.json", numbered)
    images = [
        {"split": split, "cocoid": number, "sentences": []}
        for number, split in enumerate(("test", "val", "train", "restval"), 40)
    ]
    disk.json("dataset_coco.json", {"images": images, "dataset": "coco"})
    source = VisualGenome(root, exclude_coco="dataset_coco.json")
    assert [source[k].name for k in range(len(source))] == ["VG_100K/3.jpg"]
    assert source.dropped == {"coco_test": 2}
    assert source.fingerprint != VisualGenome(root).fingerprint
    message = disk.refused(VisualGenome, exclude_coco="image_data.json")
    assert "has no pictures of val or test" in message


def test_all_pictures_in_one_folder(disk):
    root = write(disk)
    for path in (disk.root / "VG_100K_2").iterdir():
        path.rename(disk.root / "VG_100K" / path.name)
    (disk.root / "VG_100K_2").rmdir()
    assert VisualGenome(root)[0].image == jpeg(0)


def test_what_is_refused(disk):
    assert "no image_data.json below" in disk.refused(VisualGenome)
    disk.json("image_data.json", IMAGES)
    message = disk.refused(VisualGenome)
    assert "none of the folders VG_100K, VG_100K_2, images in" in message
    disk.pictures("VG_100K/2.jpg")
    assert "no region_descriptions.json below" in disk.refused(VisualGenome)
    disk.json("region_descriptions.json", [{"id": 1, "objects": []}])
    assert "(no 'regions'); expected a list of pictures" in disk.refused(VisualGenome)
    disk.json("region_descriptions.json", REGIONS)
    assert "no question_answers.json" in disk.refused(VisualGenome, questions=True)


@pytest.mark.fault("F20")
def test_addresses_that_leave_the_root_are_refused(disk):
    write(disk)
    disk.json("image_data.json", [{"image_id": 1, "url": "http://x/../.."}])
    assert "may lie outside the folder" in disk.refused(VisualGenome)
