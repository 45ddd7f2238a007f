"""Visual Genome (Krishna et al. 2017, arXiv:1602.07332): 108,077 pictures, 5.4 million
described regions, 1.7 million questions.

All files: https://homes.cs.washington.edu/~ranjay/visualgenome/api.html (version 1.2 or
1.4; image_data.json and region_descriptions.json, for questions question_answers.json).

  root/image_data.json                 [{"image_id", "url", ...}, ...]
  root/region_descriptions.json        [{"id", "regions": [{"phrase", "x", ...}]}, ...]
  root/question_answers.json           [{"id", "qas": [{"question", "answer"}]}, ...]
  root/VG_100K/1000.jpg, root/VG_100K_2/1.jpg    from images.zip and images2.zip

A picture's captions are the phrases of all its regions, as ALBEF, METER and others
pretrain on them: one is drawn each time the picture is. About half of the pictures
(those with a coco_id) are COCO's too, some of them in its test splits.
"""

from array import array
from pathlib import Path

from vlp_jax.core.errors import ConfigError
from vlp_jax.core.types import Example, Question, Region
from vlp_jax.data.files import inside_root
from vlp_jax.data.json_entries import entries, expected_form
from vlp_jax.data.sources.annotations import AnnotatedPictures, Groups, Texts, clean

FOLDERS = ("VG_100K", "VG_100K_2", "images")


class VisualGenome(AnnotatedPictures):
    """A random-access source over Visual Genome; the module shows the files.

    `regions[k]` is where `captions[k]` is seen, and k is its label: there are no
    classes. Boxes are cut to coordinates from 0 on.

    Args:
      root: the folder of the JSON files and of the pictures' folders.
      questions: read question_answers.json, too.
      exclude_coco: Karpathy's dataset_coco.json, below root or the working directory:
        the pictures of its val and test splits are left out, so that a model may be
        evaluated on these.
    """

    layout = (
        "visual_genome reads root/image_data.json, root/region_descriptions.json and "
        "root/VG_100K/*.jpg, root/VG_100K_2/*.jpg (https://homes.cs.washington.edu/"
        "~ranjay/visualgenome)"
    )

    def __init__(
        self, root: str, questions: bool = False, exclude_coco: str | None = None
    ):
        super().__init__(root)
        self.name = "visual_genome"
        coco = set() if exclude_coco is None else self._tests(exclude_coco)
        self._left_out = self._read_pictures(self.find("image_data.json"), coco)
        self.dropped["coco_test"] = len(self._left_out)
        owners = self._read_regions(self.find("region_descriptions.json"))
        more = (self._phrases.digest(), self._boxes.tobytes())
        self._of = self.keep(owners, "caption_missing", more)
        self._asked: Groups | None = None
        if questions:
            owners = self._read_questions(self.find("question_answers.json"))
            self._asked = Groups(owners, self._numbers)
            self.fingerprint["questions"] = self._questions.digest()
        del self._left_out

    def _tests(self, name: str) -> set[int]:
        """COCO's numbers of the pictures that a file of Karpathy's keeps for tests."""
        path = self.table(name)
        with expected_form(path, "Karpathy's form: images with split and cocoid"):
            found = {
                entry["cocoid"]
                for key, entry in entries(path)
                if key == "images" and entry["split"] in ("val", "test")
            }
        if not found:
            problem = f"exclude_coco: {path} has no pictures of val or test"
            raise ConfigError(f"{problem}; give Karpathy's dataset_coco.json")
        return found

    def _read_pictures(self, path: Path, coco: set[int]) -> set[int]:
        """Adds the pictures, but those with a number in `coco`: these are returned."""
        left_out = set()
        self._folders = [name for name in FOLDERS if (self.root / name).is_dir()]
        if not self._folders:
            folders = ", ".join(FOLDERS)
            problem = f"none of the folders {folders} in {str(self.root)!r}"
            raise ConfigError(f"{problem}\n{self.layout}")
        with expected_form(path, "a list of pictures with image_id and url"):
            for _, entry in entries(path):
                if coco and entry["coco_id"] in coco:
                    left_out.add(entry["image_id"])
                    continue
                name = "/".join(entry["url"].split("/")[-2:])
                self.add(entry["image_id"], inside_root(name, str(path)))
        return left_out

    def path(self, name: str) -> Path:
        """As its URL says, or in the only folder where all lie together."""
        folder, _, file = name.partition("/")
        if folder not in self._folders:
            folder = self._folders[0]
        return self.root / folder / file

    def _read_regions(self, path: Path) -> array:
        self._phrases, self._boxes, owners = Texts(), array("i"), array("q")
        with expected_form(path, "a list of pictures with id and regions"):
            for _, entry in entries(path):
                if entry["id"] in self._left_out:
                    continue
                for region in entry["regions"]:
                    phrase = clean(region["phrase"], self.dropped)
                    if phrase is None:
                        continue
                    x, y = max(0, region["x"]), max(0, region["y"])
                    right = region["x"] + region["width"]
                    below = region["y"] + region["height"]
                    self._boxes.extend((x, y, max(x, right), max(y, below)))
                    self._phrases.append(phrase)
                    owners.append(entry["id"])
        return owners

    def _read_questions(self, path: Path) -> array:
        """Question 2k and its answer 2k + 1 lie in one pool."""
        self._questions, self._question_ids = Texts(), array("q")
        owners = array("q")
        with expected_form(path, "a list of pictures with id and qas"):
            for _, entry in entries(path):
                for pair in entry["qas"]:
                    question = clean(pair["question"], self.dropped)
                    answer = clean(pair["answer"], self.dropped)
                    if question is None or answer is None:
                        continue
                    self._questions.append(question)
                    self._questions.append(answer)
                    self._question_ids.append(pair["qa_id"])
                    owners.append(entry["id"])
        return owners

    def _question(self, index: int) -> Question:
        question, answer = self._questions[2 * index], self._questions[2 * index + 1]
        return Question(question, (answer,), str(self._question_ids[index]))

    def __getitem__(self, index: int) -> Example:
        """Raises BadSample when the picture cannot be read."""
        picture, name, image = self.read(index)
        mine = self._of[picture]
        boxes = (tuple(self._boxes[4 * region : 4 * region + 4]) for region in mine)
        return Example(
            image=image,
            captions=tuple(self._phrases[region] for region in mine),
            regions=tuple(Region(box, label) for label, box in enumerate(boxes)),
            questions=self.questions(index),
            name=name,
        )

    def questions(self, index: int) -> tuple[Question, ...]:
        """Those of an example, without its picture."""
        asked = self._asked[int(self._kept[index])] if self._asked else ()
        return tuple(map(self._question, asked))
