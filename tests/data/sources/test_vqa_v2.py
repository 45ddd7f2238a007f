"""VQA v2: a picture with its questions, ten answers to each."""

import pickle

import numpy as np
import pytest

from tests.data.sources.conftest import jpeg, sampled
from vlp_jax.core.errors import RunError
from vlp_jax.core.types import Question
from vlp_jax.data.questions import count_answers, questions_of
from vlp_jax.data.sources.vqa_v2 import VQAv2

QUESTIONS = "v2_OpenEnded_mscoco_{}_questions.json"
ANNOTATIONS = "v2_mscoco_{}_annotations.json"
HEAD = {
    "info": {"version": "2.0", "year": 2017},
    "data_type": "mscoco",
    "license": {"name": "CC BY 4.0"},
}
ASKED = {458752000: "net", 458752001: "pitcher", 262146000: "no"}


def write(disk, release="train2014", asked=ASKED, folder="") -> str:
    """The questions, their answers in reversed order (nine alike and an 'other')."""
    questions = [
        {
            "image_id": number // 1000,
            "question": f"What is {number}?",
            "question_id": number,
        }
        for number in asked
    ]
    annotations = [
        {
            "question_type": "what is",
            "multiple_choice_answer": answer,
            "answers": [
                {"answer": text, "answer_confidence": "maybe", "answer_id": k}
                for k, text in enumerate([answer] * 9 + ["other"], 1)
            ],
            "image_id": number // 1000,
            "answer_type": "other",
            "question_id": number,
        }
        for number, answer in reversed(asked.items())
    ]
    head = HEAD | {"data_subtype": release}
    name = f"{folder and 'questions/'}{QUESTIONS.format(release)}"
    disk.json(name, head | {"task_type": "Open-Ended", "questions": questions})
    if not release.startswith("test"):
        name = f"{folder and 'annotations/'}{ANNOTATIONS.format(release)}"
        disk.json(name, head | {"annotations": annotations})
    return str(disk.root)


def answers(text: str) -> tuple[str, ...]:
    return (text,) * 9 + ("other",)


def test_questions_and_ten_answers(disk):
    names = [f"train2014/COCO_train2014_000000{n}.jpg" for n in (458752, 262146)]
    disk.pictures(*names)
    source = VQAv2(write(disk))
    assert len(source) == 2 and source.name == "vqa_v2/train" and not source.dropped
    assert source[0].questions == (
        Question("What is 458752000?", answers("net"), "458752000"),
        Question("What is 458752001?", answers("pitcher"), "458752001"),
    )
    assert source[1].questions == (
        Question("What is 262146000?", answers("no"), "262146000"),
    )
    assert [source[k].image for k in range(2)] == [jpeg(0), jpeg(1)]
    assert [source[k].name for k in range(2)] == names
    assert source[0].captions == ()
    assert pickle.loads(pickle.dumps(source))[0] == source[0]
    changed = VQAv2(write(disk, asked=ASKED | {262146000: "yes"}))
    assert changed[1].questions[0].answers == answers("yes")
    assert changed.fingerprint != source.fingerprint


def test_joined_splits_and_folders(disk):
    disk.pictures("val2017/000000458752.jpg", "train2017/000000262146.jpg")
    disk.pictures("train2017/000000000007.jpg")
    write(disk, "train2014", folder="x")
    source = VQAv2(write(disk, "val2014", {7000: "cat"}, "x"), split="train+val")
    assert [len(source[k].questions) for k in range(3)] == [2, 1, 1]
    assert source[2].questions[0].answers == answers("cat")
    assert [source[k].image for k in range(3)] == [jpeg(0), jpeg(1), jpeg(0)]


def test_tests_have_no_answers(disk):
    disk.pictures("test2015/COCO_test2015_000000000007.jpg")
    write(disk, "test2015", {7000: "", 7001: ""})
    root = write(disk, "test-dev2015", {7001: ""})
    assert VQAv2(root, split="test")[0].questions == (
        Question("What is 7000?", (), "7000"),
        Question("What is 7001?", (), "7001"),
    )
    (only,) = VQAv2(root, split="test-dev")[0].questions
    assert only.id == "7001" and VQAv2(root, split="test-dev")[0].image == jpeg(0)


def test_samples_of_the_stream_of_questions(disk):
    disk.pictures("val2017/000000458752.jpg", "train2017/000000262146.jpg")
    source = VQAv2(write(disk, asked={**ASKED, 262146000: "two"}))
    found = sampled(source, ("net", "2", "other"))
    drawn = [found[position] for position in range(60)]
    texts = {found.said(sample) for sample in drawn}
    # Ten people: nine alike, and one who says something else.
    assert {text.split("?")[0] for text in texts} == {
        f"What is {number}" for number in ASKED
    }
    assert {text.split("? ")[1] for text in texts} == {"net", "pitcher", "2", "other"}
    scores = {"net": [1, 1 / 3], "pitcher": [1 / 3, 0], "2": [1, 1 / 3]}
    labels = {"net": [0, 2], "pitcher": [2, -1], "2": [1, 2]}
    for sample in drawn:
        question, answer = found.said(sample).split("? ")
        if answer == "other":
            continue
        assert sample["answer_labels"].tolist() == labels[answer] + 8 * [-1]
        np.testing.assert_allclose(sample["answer_scores"][:2], scores[answer])


def test_questions_without_pictures(disk):
    disk.pictures("val2017/000000000000.jpg")  # of none of them
    source = VQAv2(write(disk))
    assert questions_of(source, 1) == (
        Question("What is 262146000?", answers("no"), "262146000"),
    )
    assert count_answers(source) == {"net": 9, "pitcher": 9, "no": 9, "other": 3}


def test_questions_without_answers_teach_nothing(disk):
    disk.pictures("test2015/COCO_test2015_000000000007.jpg")
    source = VQAv2(write(disk, "test2015", {7000: "", 7001: ""}), split="test")
    with pytest.raises(RunError, match="answer_missing: test2015/COCO_test2015"):
        sampled(source, ())[0]


def test_what_is_refused(disk):
    message = disk.refused(VQAv2)
    assert f"no {QUESTIONS.format('train2014')} or questions/v2" in message
    assert "https://visualqa.org/download.html" in message
    write(disk)
    (disk.root / ANNOTATIONS.format("train2014")).unlink()
    assert f"no {ANNOTATIONS.format('train2014')}" in disk.refused(VQAv2)
    write(disk)
    assert "no folder 'train2014' with pictures" in disk.refused(VQAv2)
    assert "did you mean 'test-dev'" in disk.refused(VQAv2, split="testdev")
    disk.json(ANNOTATIONS.format("train2014"), {"annotations": [{"question_id": 1}]})
    assert "(no 'answers')" in disk.refused(VQAv2)
