"""open_clip's ModifiedResNet on given weights.

Runs in .venv-peers (install.sh beside it): `python -m tests.peers.open_clip_resnet
TASK`. Reads weights.npz and pictures.npz in the folder of its task, answers `run` by
writing found.npz there, and says how many parameters its published models have.
"""

import json
import sys
import types
from pathlib import Path

import numpy as np

# torchvision describes operators to torch there that another build of it lacks; nothing
# here needs them.
sys.modules["torchvision._meta_registrations"] = types.ModuleType("empty")

import open_clip  # noqa: E402
import torch  # noqa: E402
from open_clip.modified_resnet import ModifiedResNet  # noqa: E402

from benchmarks.peers.side import serve  # noqa: E402


def make_model(task: dict) -> ModifiedResNet:
    model = ModifiedResNet(
        layers=task["depths"],
        output_dim=task["width"],
        heads=task["stem_width"] * 32 // 64,
        image_size=task["image_size"],
        width=task["stem_width"],
    )
    weights = np.load(Path(task["folder"]) / "weights.npz")
    given = {key: torch.from_numpy(weights[key]) for key in weights}
    missing, unexpected = model.load_state_dict(given, strict=False)
    assert not unexpected and all("num_batches_tracked" in key for key in missing)
    return model.double()


def run(task: dict) -> dict:
    """Embeddings in evaluation; then those, gradients and buffers of two steps."""
    folder = Path(task["folder"])
    pictures, found = np.load(folder / "pictures.npz"), {}
    model = make_model(task).eval()
    with torch.no_grad():
        given = torch.from_numpy(pictures["0"].transpose(0, 3, 1, 2)).double()
        found["evaluation"] = model(given).numpy()
    model.train()
    for step in ("0", "1"):
        given = torch.from_numpy(pictures[step].transpose(0, 3, 1, 2)).double()
        embedding = model(given)
        model.zero_grad()
        (embedding * torch.from_numpy(pictures["direction"])).sum().backward()
        found[f"{step}/embedding"] = embedding.detach().numpy()
        for name, parameter in model.named_parameters():
            found[f"{step}/gradient/{name}"] = parameter.grad.numpy().copy()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= task["rate"] * parameter.grad
        for name, buffer in model.named_buffers():
            found[f"{step}/buffer/{name}"] = buffer.numpy().copy()
    np.savez(folder / "found.npz", **found)
    return {}


def parameters() -> dict:
    """{name: parameters} of every published model with such an image tower."""
    names = [name for name in open_clip.list_models() if name.startswith("RN")]
    with torch.device("meta"):
        models = {name: open_clip.create_model(name, device="meta") for name in names}
    return {k: sum(p.numel() for p in m.parameters()) for k, m in models.items()}


def main() -> None:
    task = json.loads(sys.argv[1])
    about = {
        "versions": f"open_clip {open_clip.__version__}, torch {torch.__version__}"
    }
    serve(about, {"run": lambda: run(task), "parameters": parameters})


if __name__ == "__main__":
    main()
