"""Outlines of objects in flat arrays, and the masks they enclose."""

from array import array
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from vlp_jax.data.transforms.image import check_pixels


class Polygons:
    """For every object the polygons that enclose it together, four bytes a number."""

    def __init__(self):
        self._numbers = array("f")
        self._ends, self._objects = array("q", [0]), array("q", [0])

    def append(self, polygons: Sequence[Sequence[float]]) -> None:
        """An object: each polygon is x0, y0, x1, y1, ... in pixels, as in COCO."""
        for polygon in polygons:
            if len(polygon) < 6 or len(polygon) % 2:
                raise ValueError(f"a polygon of {len(polygon)} numbers")
            self._numbers.extend(polygon)
            self._ends.append(len(self._numbers))
        self._objects.append(len(self._ends) - 1)

    def __len__(self) -> int:
        return len(self._objects) - 1

    def __getitem__(self, index: int) -> list[list[float]]:
        ends = self._ends[self._objects[index] : self._objects[index + 1] + 1]
        numbers = self._numbers
        return [
            numbers[start:end].tolist()
            for start, end in zip(ends, ends[1:], strict=False)
        ]

    def mask(self, index: int, width: int, height: int) -> np.ndarray:
        """bool [height, width], True inside (as Pillow draws: the outline included).

        Raises BadSample for a size that no picture may have.
        """
        check_pixels(width, height)
        picture = Image.new("L", (width, height))
        draw = ImageDraw.Draw(picture)
        for polygon in self[index]:
            draw.polygon(polygon, fill=1)
        return np.asarray(picture) > 0
