"""open_clip's CoCa on given weights.

Runs in .venv-peers (install.sh beside it): `python -m tests.peers.open_clip_coca
FOLDER`. Reads task.json, weights.npz and given.npz there and writes found.npz: outputs
and gradients in double precision, and the likeliest texts, token by token.
"""

import json
import sys
import types
from pathlib import Path

import numpy as np

# torchvision describes operators to torch there that another build of it lacks; nothing
# here needs them.
sys.modules["torchvision._meta_registrations"] = types.ModuleType("empty")

import torch  # noqa: E402
from open_clip import CoCa  # noqa: E402


def make_model(task: dict, weights: dict) -> CoCa:
    """Loaded strictly."""
    model = CoCa(**task)
    model.load_state_dict({k: torch.from_numpy(x) for k, x in weights.items()})
    return model.double().eval()


def main() -> None:
    folder = Path(sys.argv[1])
    given = dict(np.load(folder / "given.npz"))
    task = json.loads((folder / "task.json").read_text())
    model = make_model(task, dict(np.load(folder / "weights.npz")))
    images = torch.from_numpy(given["pixels"].transpose(0, 3, 1, 2)).double()
    tokens = torch.from_numpy(given["tokens"]).long()
    out = model(images, tokens)
    names = {
        "image_embedding": "image_features",
        "text_embedding": "text_features",
        "caption_logits": "logits",
    }
    loss = sum(
        (out[key] * torch.from_numpy(given[f"direction_{name}"])).sum()
        for name, key in names.items()
    )
    loss.backward()
    found = {name: out[key].detach().numpy() for name, key in names.items()}
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:  # of the scale there is none
            found[f"gradient/{name}"] = parameter.grad.numpy()
    written = torch.full((len(images), 1), given["start"].item())
    with torch.no_grad():  # its own `generate` asks for an older transformers
        for _ in range(tokens.shape[1] - 1):
            logits = model(images, written, output_labels=False)["logits"][:, -1]
            logits[:, 0] = -torch.inf  # that is padding to it
            written = torch.cat([written, logits.argmax(-1, keepdim=True)], dim=1)
    found["written"] = written.numpy()
    np.savez(folder / "found.npz", **found)


if __name__ == "__main__":
    main()
