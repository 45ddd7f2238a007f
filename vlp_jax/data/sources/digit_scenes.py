"""Digit scenes: the data that come with the installation.

scikit-learn ships 1,797 real handwritten digits (8x8 scans; E. Alpaydin and
C. Kaynak, UCI 1998). A scene places one to three of them, tinted and scaled, on a
noisy dark canvas, and knows everything about itself: five worded captions, captions
that are wrong in one attribute, questions with answers, a box, a class and a mask per
digit. A scene is a pure function of (split, index).

Train and test use disjoint scans, and the combination of digits, colours, sizes and
relation of a test scene never occurs in training, so a good score needs a model that
composes rather than one that remembers. These are demonstration data.
"""

import functools

import numpy as np
from PIL import Image

from vlp_jax.core.errors import ConfigError, check_range
from vlp_jax.core.lookup import lookup
from vlp_jax.core.types import Example, Question, Region
from vlp_jax.data.fingerprint import digest
from vlp_jax.data.sources import scene_negatives, scene_words
from vlp_jax.data.sources.scene import (
    COLOUR_NAMES,
    COLOURS,
    RELATIONS,
    SIZE_NAMES,
    SIZES,
    Digit,
    Scene,
)

DIGIT_COUNT_WEIGHTS = {1: 0.6, 2: 0.25, 3: 0.15}
SPLITS = {"train": 0, "test": 1}
# How a finished picture is shown; the second is half mist, as nothing else is.
STYLES = {"plain": lambda image: image, "foggy": lambda image: image // 2 + 127}
GRID = 3
JITTER = 0.03  # of the canvas
HELD_OUT = 5  # every fifth scan of a digit, and about a fifth of the combinations


def is_held_out(scene: Scene) -> bool:
    """Whether the combination belongs to the test split (about one in five).

    A sum modulo five rather than a hash: every digit then has its share of held-out
    colours and sizes, in every position.
    """
    code = RELATIONS.index(scene.relation)
    for position, (digit, colour, size) in enumerate(scene.digits):
        code += (position + 1) * (digit + 3 * COLOUR_NAMES.index(colour))
        code += 4 * SIZE_NAMES.index(size)
    return code % HELD_OUT == 0


def draw_scene(rng: np.random.Generator, held_out: bool, counts: tuple[int, ...]):
    """Draws scenes until one belongs to the wanted side of the split."""
    weights = np.cumsum([DIGIT_COUNT_WEIGHTS[count] for count in counts])
    while True:
        draws = rng.random(11)
        count = counts[int(np.searchsorted(weights, draws[0] * weights[-1]))]
        relation = "alone" if count == 1 else _pick(RELATIONS[1:], draws[1])
        digits = tuple(
            Digit(int(10 * d), _pick(COLOUR_NAMES, c), _pick(SIZE_NAMES, s))
            for d, c, s in draws[2 : 2 + 3 * count].reshape(count, 3)
        )
        scene = Scene(relation, digits)
        if is_held_out(scene) == held_out:
            return scene


def _pick(choices: tuple[str, ...], draw: float) -> str:
    """One of the choices for a draw in 0..1."""
    return choices[int(draw * len(choices))]


@functools.cache
def scans_by_digit(split: str) -> tuple[np.ndarray, ...]:
    """The scans of a split, [n, 8, 8] in 0..1, indexed by their digit."""
    from sklearn.datasets import load_digits

    data = load_digits()
    scans = (data.images / 16.0).astype(np.float32)
    chosen = []
    for digit in range(10):
        mine = scans[data.target == digit]
        is_test = np.arange(len(mine)) % HELD_OUT == 0
        chosen.append(mine[is_test if split == "test" else ~is_test])
    return tuple(chosen)


def place(scene: Scene, canvas: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
    """Boxes (x0, y0, x1, y1) in pixels.

    The canvas has GRID x GRID cells, and a digit sits in the middle of one, give or
    take a little. Digits of a row share a row of cells, so that 'left of' is never
    'above' as well.
    """
    boxes = []
    cell = canvas / GRID
    across = rng.integers(GRID)
    columns = np.sort(rng.permutation(GRID)[: len(scene.digits)])
    for digit, along in zip(scene.digits, columns, strict=True):
        side = round(SIZES[digit.size] * canvas)
        centre = (across, along) if scene.relation == "column" else (along, across)
        corner = (np.array(centre) + 0.5) * cell - side / 2
        corner += rng.uniform(-JITTER, JITTER, size=2) * canvas
        x, y = corner.round().clip(0, canvas - side).astype(int).tolist()
        boxes.append((x, y, x + side, y + side))
    return boxes


def render(scene: Scene, split: str, canvas: int, rng: np.random.Generator):
    """Paints a scene: (uint8 image [canvas, canvas, 3], its Regions)."""
    noise = rng.standard_normal((canvas, canvas, 3), dtype=np.float32)
    image = 10 * noise + rng.uniform(0, 60, size=3).astype(np.float32)
    regions = []
    for digit, box in zip(scene.digits, place(scene, canvas, rng), strict=True):
        scans = scans_by_digit(split)[digit.digit]
        scan = Image.fromarray(scans[rng.integers(len(scans))], mode="F")
        side = box[2] - box[0]
        ink = np.asarray(scan.resize((side, side), Image.Resampling.BILINEAR))
        x0, y0, x1, y1 = box
        tint = np.float32(COLOURS[digit.colour]) * np.float32(rng.uniform(0.85, 1))
        patch = image[y0:y1, x0:x1]
        patch += ink[..., None] * (tint - patch)
        mask = np.zeros((canvas, canvas), bool)
        mask[y0:y1, x0:x1] = ink > 0.3
        regions.append(Region(box=box, label=digit.digit, mask=mask))
    return image.clip(0, 255).astype(np.uint8), tuple(regions)


class DigitScenes:
    """A random-access source of digit scenes.

    Args:
      split: 'train' or 'test'.
      size: number of scenes. In the test split their captions are pairwise
        distinguishable: no two scenes share a combination (unless every scene has
        one digit, where only a few combinations exist).
      canvas: side of the square image in pixels.
      digit_counts: how many digits a scene may have; (1,) is the zero-shot task.
      style: 'plain', or 'foggy': half of the contrast before a bright mist, for tasks
        that pretraining has not seen.
    """

    def __init__(
        self,
        split: str = "train",
        size: int = 60_000,
        canvas: int = 48,
        digit_counts: tuple[int, ...] = (1, 2, 3),
        style: str = "plain",
    ):
        lookup(SPLITS, split, "split of digit_scenes")
        self.digit_counts = tuple(sorted(set(digit_counts)))
        if not self.digit_counts:
            raise ConfigError("digit_scenes got no digit_counts; give for example (1,)")
        for count in self.digit_counts:
            lookup(DIGIT_COUNT_WEIGHTS, count, "digit count of digit_scenes")
        check_range("digit_scenes: size", size, 1)
        check_range("digit_scenes: canvas", canvas, 24)
        lookup(STYLES, style, "style of digit_scenes")
        self.style, self.split = style, split
        self.size, self.canvas = size, canvas
        self.class_names = scene_words.NUMBERS
        shown = () if style == "plain" else (style,)
        self.name = "/".join(("digit_scenes", split, *shown))
        self.fingerprint = {split: digest(size, canvas, self.digit_counts, *shown)}
        if split == "test":
            self._test_scenes = self._draw_test_scenes()

    def _draw_test_scenes(self) -> tuple[Scene, ...]:
        distinct = self.digit_counts != (1,)
        rng = np.random.default_rng((SPLITS["test"], len(self.digit_counts)))
        chosen: list[Scene] = []
        known: set[Scene] = set()
        repeats = 0
        while len(chosen) < self.size:
            scene = draw_scene(rng, held_out=True, counts=self.digit_counts)
            repeats = repeats + 1 if distinct and scene in known else 0
            if repeats > 1000:
                raise ConfigError(
                    f"digit_scenes got size={self.size}, but its test split has only "
                    f"{len(chosen)} different scenes with digit_counts="
                    f"{self.digit_counts}; set a smaller size"
                )
            if repeats == 0:
                known.add(scene)
                chosen.append(scene)
        return tuple(chosen)

    def __len__(self) -> int:
        return self.size

    def scene(self, index: int) -> Scene:
        """What the scene at `index` shows, before it is painted."""
        if self.split == "test":
            return self._test_scenes[index]
        rng = np.random.default_rng((SPLITS["train"], index))
        return draw_scene(rng, held_out=False, counts=self.digit_counts)

    def __getitem__(self, index: int) -> Example:
        scene = self.scene(index)
        rng = np.random.default_rng((SPLITS[self.split], index, 1))
        image, regions = render(scene, self.split, self.canvas, rng)
        words = scene_words.draw_words(scene, rng)
        # Drawn apart: pictures and captions do not depend on them.
        other = np.random.default_rng((SPLITS[self.split], index, 2))
        wrong = scene_negatives.negatives(scene, words[0], other)
        return Example(
            image=STYLES[self.style](image),
            captions=scene_words.captions(scene, words),
            negatives=tuple(wrong.values()),
            negative_kinds=tuple(wrong),
            label=scene.digits[0].digit if len(scene.digits) == 1 else None,
            questions=scene_words.questions(scene),
            regions=regions,
            name=f"{self.name}/{index}",
        )

    def questions(self, index: int) -> tuple[Question, ...]:
        """Those of an example, without its picture."""
        return scene_words.questions(self.scene(index))

    def check_caption(self, index: int, caption: str) -> bool:
        """Whether a caption names every digit with its colour, and nothing else."""
        return scene_words.names_all(self.scene(index), caption)
