"""The webdataset package with torch's DataLoader, as benchmarks/input.py asks for it.

Runs in .venv-peers (tests/peers/install.sh). Decoded and resized by Pillow, as
torchvision's RandomResizedCrop does it with bicubic, to uint8.
"""

import json
import os
import sys
import types

sys.modules["torchvision._meta_registrations"] = types.ModuleType("empty")

import PIL  # noqa: E402
import torch  # noqa: E402
import webdataset  # noqa: E402
from torchvision import transforms  # noqa: E402

from benchmarks.peers.reading import watched  # noqa: E402
from benchmarks.peers.side import serve  # noqa: E402


def batches(task: dict):
    """How many pictures each batch of torch's loader has."""
    prepare = transforms.Compose(
        [
            transforms.RandomResizedCrop(
                task["size"],
                scale=(0.5, 1.0),
                interpolation=transforms.InterpolationMode.BICUBIC,
            ),
            transforms.PILToTensor(),
        ]
    )
    dataset = (
        webdataset.WebDataset(task["shards"], resampled=True, shardshuffle=False)
        .shuffle(1000)
        .decode("pil")
        .to_tuple("jpg", "txt")
        .map_tuple(prepare, lambda text: text)
        .batched(task["batch"])
    )
    loader = torch.utils.data.DataLoader(
        dataset, batch_size=None, num_workers=task["cores"], prefetch_factor=2
    )
    for images, _ in loader:
        yield len(images)


def main() -> None:
    task = json.loads(sys.argv[1])
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: task["cores"]])
    torch.set_num_threads(1)
    versions = (
        f"webdataset {webdataset.__version__}, torch {torch.__version__}, "
        f"Pillow {PIL.__version__}"
    )
    serve(
        {"versions": versions},
        {"webdataset + torch": lambda: watched(lambda: batches(task), task["seconds"])},
    )


if __name__ == "__main__":
    main()
