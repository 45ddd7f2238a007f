"""Pictures with the texture of photographs, for what depends on their content.

Pink noise has the spectrum of natural scenes; on it lie things with edges and a patch
of fine stripes (cloth, fences), where a resize that aliases shows. Needs NumPy and
Pillow only: every side of a comparison imports it.
"""

import io
import math

import numpy as np
from PIL import Image


def photograph(width: int, height: int, seed: int) -> np.ndarray:
    """uint8 [height, width, 3]."""
    rng = np.random.default_rng((seed, width, height))
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    frequency[0, 0] = 1

    def noise(power: float) -> np.ndarray:
        waves = rng.normal(size=(2, *frequency.shape)) / frequency**power
        field = np.fft.irfft2(waves[0] + 1j * waves[1], s=(height, width))
        return (field - field.mean()) / field.std()

    light = 120 + 45 * noise(1.1)
    picture = np.stack([light + 18 * noise(1.6) for _ in range(3)], axis=-1)
    y, x = np.mgrid[:height, :width]
    for _ in range(8):
        middle, radii = rng.uniform(0, 1, 2), rng.uniform(0.05, 0.25, 2)
        inside = np.hypot(
            (y / height - middle[0]) / radii[0], (x / width - middle[1]) / radii[1]
        )
        colour = rng.uniform(0, 255, 3)
        picture[inside < 1] = 0.4 * picture[inside < 1] + 0.6 * colour
    top, left = rng.integers(0, height // 2), rng.integers(0, width // 2)
    angle, period = rng.uniform(0, math.pi), rng.uniform(2.2, 4.0)  # pixels
    across = math.cos(angle) * x + math.sin(angle) * y
    patch = np.s_[top : top + height // 3, left : left + width // 3]
    picture[patch] += 35 * np.sin(2 * math.pi / period * across)[patch][..., None]
    return picture.clip(0, 255).astype(np.uint8)


def encode(picture: np.ndarray | Image.Image, kind: str = "JPEG", **options) -> bytes:
    file = io.BytesIO()
    image = Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture
    image.save(file, kind, **options)
    return file.getvalue()


def psnr(found: np.ndarray, expected: np.ndarray) -> float:
    """Peak signal-to-noise ratio of uint8 pictures in dB."""
    error = np.mean((found.astype(float) - expected) ** 2)
    return 10 * math.log10(255**2 / max(error, 1e-9))
