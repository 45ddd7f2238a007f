"""VQA v2 (Goyal et al. 2017, arXiv:1612.00837): questions about COCO's pictures.

Questions and annotations: https://visualqa.org/download.html; pictures: COCO's of 2014
(train, val) and 2015 (test), https://cocodataset.org/#download

  root/v2_OpenEnded_mscoco_train2014_questions.json      or below root/questions/
  root/v2_mscoco_train2014_annotations.json              or below root/annotations/
  root/train2014/COCO_train2014_000000000009.jpg         or COCO's of 2017

An example is a picture with all its questions; each has the answers of ten people,
as they wrote them. The test splits have questions only.
"""

from array import array
from pathlib import Path

from vlp_jax.core.types import Example, Question
from vlp_jax.data.fingerprint import digest
from vlp_jax.data.json_entries import entries, expected_form
from vlp_jax.data.sources.annotations import (
    AnnotatedPictures,
    Groups,
    Texts,
    chosen_splits,
    clean,
)
from vlp_jax.data.sources.coco_pictures import CocoPictures, coco_name

# Split -> the name that its files carry.
SPLITS = {
    "train": "train2014",
    "val": "val2014",
    "test": "test2015",
    "test-dev": "test-dev2015",
}
QUESTIONS = "v2_OpenEnded_mscoco_{}_questions.json"
ANNOTATIONS = "v2_mscoco_{}_annotations.json"


class VQAv2(AnnotatedPictures):
    """A random-access source over VQA v2; the module shows the files.

    Args:
      root: the folder of the JSON files and of COCO's folders.
      split: 'train', 'val', 'test' or 'test-dev'; '+' joins several ('train+val').
    """

    layout = (
        "vqa_v2 reads root/v2_OpenEnded_mscoco_train2014_questions.json, "
        "root/v2_mscoco_train2014_annotations.json (https://visualqa.org/download.html)"
        " and root/train2014/*.jpg"
    )

    def __init__(self, root: str, split: str = "train"):
        super().__init__(root)
        self.name = f"vqa_v2/{split}"
        self._questions, self._ids, owners = Texts(), array("q"), array("q")
        answers = Answers()
        folders = []
        for part in chosen_splits(split, tuple(SPLITS), "vqa_v2"):
            release = SPLITS[part]
            folders.append(release.replace("-dev", ""))
            questions = QUESTIONS.format(release)
            path = self.find(questions, f"questions/{questions}")
            owners.extend(self._read_questions(path, folders[-1]))
            if not part.startswith("test"):
                annotations = ANNOTATIONS.format(release)
                path = self.find(annotations, f"annotations/{annotations}")
                answers.read(path)
        answers.assign(self._ids)
        self._answers = answers
        self._of = self.keep(
            owners, "question_missing", (self._questions.digest(), answers.digest())
        )
        self._find = CocoPictures(self.root, folders, self.layout)

    def path(self, name: str) -> Path:
        return self._find(name)

    def _read_questions(self, path: Path, folder: str) -> array:
        owners = array("q")
        with expected_form(path, "questions with question_id, image_id and question"):
            for key, entry in entries(path):
                if key != "questions":
                    continue
                text = clean(entry["question"], self.dropped)
                if text is not None:
                    self._questions.append(text)
                    self._ids.append(entry["question_id"])
                    owners.append(entry["image_id"])
        for number in dict.fromkeys(owners):
            self.add(number, coco_name(folder, number))
        return owners

    def __getitem__(self, index: int) -> Example:
        """Raises BadSample when the picture cannot be read."""
        _, name, image = self.read(index)
        return Example(image=image, questions=self.questions(index), name=name)

    def questions(self, index: int) -> tuple[Question, ...]:
        """Those of an example, without its picture."""
        return tuple(
            Question(self._questions[q], self._answers[q], str(self._ids[q]))
            for q in self._of[int(self._kept[index])]
        )


class Answers:
    """The answers to every question. Each wording is kept once: most are 'yes'."""

    def __init__(self):
        self._texts, self._number = Texts(), {}
        self._given, self._questions = array("i"), array("q")

    def read(self, path: Path) -> None:
        """Adds a file of annotations."""
        form = "annotations with question_id and answers"
        with expected_form(path, form):
            for key, entry in entries(path):
                if key != "annotations":
                    continue
                for answer in entry["answers"]:
                    self._given.append(self._text(answer["answer"]))
                    self._questions.append(entry["question_id"])

    def _text(self, answer: str) -> int:
        """The number of a wording. Answers are compared as they are: not cleaned."""
        number = self._number.setdefault(answer, len(self._texts))
        if number == len(self._texts):
            self._texts.append(answer)
        return number

    def assign(self, question_ids: array) -> None:
        """After the last file: answers go to the questions, in the file's order."""
        self._of = Groups(self._questions, question_ids)
        del self._questions, self._number

    def digest(self) -> str:
        return digest(self._texts.digest(), self._given.tobytes())

    def __getitem__(self, question: int) -> tuple[str, ...]:
        return tuple(self._texts[self._given[at]] for at in self._of[question])
