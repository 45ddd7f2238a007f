"""What opening the large annotated sets takes: python -m benchmarks.annotations

Writes annotations of the published size, with made-up content, into a temporary folder
(1.7 GB) and opens each in a process of its own, beside json.load of the same file.
"""

import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path

WORDS = "the a clock is green in colour shade along street man wearing shoes".split()
OPEN = """
import json, resource, sys
def held():  # MB
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 1e6
from vlp_jax.data.sources import SOURCES
kind, root, settings, path = sys.argv[1:]
before = held()
if kind == "json.load":
    with open(path) as file:
        data = json.load(file)
else:
    data = SOURCES[kind](root, **json.loads(settings))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3 - before
seconds = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
print(f"{held() - before:,.0f} MB, {peak:,.0f} MB at most, {seconds:.0f} s of CPU")
"""


def phrase(rng: random.Random) -> str:
    return " ".join(rng.choices(WORDS, k=rng.randrange(3, 8)))


def write_list(path: Path, start: str, entries, end: str) -> None:
    with open(path, "w") as file:
        file.write(start)
        for number, entry in enumerate(entries):
            file.write(("," if number else "") + json.dumps(entry))
        file.write(end)


def write_visual_genome(root: Path, rng: random.Random, images: int, each: int) -> Path:
    (root / "VG_100K").mkdir(parents=True)
    url = "https://cs.stanford.edu/people/rak248/VG_100K/{}.jpg"
    pictures = ({"image_id": i, "url": url.format(i)} for i in range(images))
    write_list(root / "image_data.json", "[", pictures, "]")

    def region(image: int, number: int) -> dict:
        box = {"width": 90, "height": 80, "y": rng.randrange(600), "x": number}
        return {"region_id": number, "image_id": image, "phrase": phrase(rng)} | box

    regions = (
        {"regions": [region(i, i * each + k) for k in range(each)], "id": i}
        for i in range(images)
    )
    write_list(root / "region_descriptions.json", "[", regions, "]")
    return root / "region_descriptions.json"


def write_lvis(root: Path, rng: random.Random, images: int, things: int) -> Path:
    (root / "train2017").mkdir(parents=True)

    def numbers(count: int) -> list[float]:
        return [round(rng.uniform(0, 640), 2) for _ in range(count)]

    annotations = (
        {
            "id": number,
            "image_id": rng.randrange(images),
            "category_id": rng.randrange(1203),
            "bbox": numbers(4),
            "area": 22.5,
            "segmentation": [numbers(2 * rng.randrange(6, 70))],
        }
        for number in range(things)
    )
    url = "http://images.cocodataset.org/train2017/{:012d}.jpg"
    rest = {
        "images": [
            {"id": i, "coco_url": url.format(i), "width": 640, "height": 480}
            for i in range(images)
        ],
        "categories": [{"id": i, "name": f"thing_{i}"} for i in range(1203)],
    }
    path = root / "lvis_v1_train.json"
    write_list(path, '{"annotations": [', annotations, "], " + json.dumps(rest)[1:])
    return path


def main(scale: float = 1.0) -> None:
    """scale: the share of the published size."""
    rng = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        roots = Path(folder, "visual_genome"), Path(folder, "lvis")
        sizes = int(108_077 * scale), int(100_170 * scale), int(1_270_141 * scale)
        paths = (
            write_visual_genome(roots[0], rng, sizes[0], 50),
            write_lvis(roots[1], rng, *sizes[1:]),
        )
        for kind, root, settings, path in (
            ("visual_genome", roots[0], {}, paths[0]),
            ("json.load", roots[0], {}, paths[0]),
            ("lvis", roots[1], {}, paths[1]),
            ("lvis", roots[1], {"masks": True}, paths[1]),
            ("json.load", roots[1], {}, paths[1]),
        ):
            arguments = kind, str(root), json.dumps(settings), str(path)
            found = subprocess.run(
                [sys.executable, "-c", OPEN, *arguments],
                check=True,
                capture_output=True,
                text=True,
            )
            size = path.stat().st_size / 1e6
            print(f"{kind} {settings or ''}, {path.name} of {size:,.0f} MB: ", end="")
            print(found.stdout.strip(), flush=True)


if __name__ == "__main__":
    main(*(float(share) for share in sys.argv[1:]))
