"""open_clip's train step, as benchmarks/step.py asks for it.

Runs in .venv-peers (tests/peers/install.sh): `python -m benchmarks.peers.open_clip_step
TASK`. What open_clip_train does in a step: forward, its own ClipLoss, backward, AdamW
with its two groups of parameters, the bound of the scale.
"""

import contextlib
import json
import math
import sys
import time
import types
from pathlib import Path

import numpy as np

# torchvision describes operators to torch there that another build of it lacks; nothing
# here needs them.
sys.modules["torchvision._meta_registrations"] = types.ModuleType("empty")

import open_clip  # noqa: E402
import torch  # noqa: E402
from open_clip.loss import ClipLoss  # noqa: E402
from open_clip.model import CLIP  # noqa: E402

from benchmarks.peers.side import LENGTH, MEAN, STD, VOCABULARY, pairs, serve  # noqa: E402


def make_model(task: dict) -> CLIP:
    image, text = task["image"], task["text"]
    return CLIP(
        embed_dim=task["embedding_size"],
        vision_cfg=dict(
            width=image["width"],
            layers=image["depth"],
            head_width=image["width"] // image["heads"],
            patch_size=image["patch_size"],
            image_size=task["image_size"],
        ),
        text_cfg=dict(
            width=text["width"],
            layers=text["depth"],
            heads=text["heads"],
            context_length=LENGTH,
            vocab_size=VOCABULARY,
        ),
        quick_gelu=task["activation"] == "quick_gelu",
    )


def make_optimizer(model: CLIP, task: dict) -> torch.optim.Optimizer:
    plain = [p for p in model.parameters() if p.ndim < 2]
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    settings = task["optimizer"]
    return torch.optim.AdamW(
        [
            {"params": plain, "weight_decay": 0.0},
            {"params": decayed, "weight_decay": settings["weight_decay"]},
        ],
        lr=settings["learning_rate"],
        betas=(settings["b1"], settings["b2"]),
        eps=settings["epsilon"],
    )


class Step:
    """The model, its optimizer and one batch, ready to train."""

    def __init__(self, task: dict):
        torch.set_num_threads(task["threads"])
        self.steps = task["steps"]
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        model = make_model(task).to(self.device)
        weights = np.load(Path(task["folder"]) / "weights.npz")
        model.load_state_dict({k: torch.from_numpy(v) for k, v in weights.items()})
        self.model = torch.compile(model) if task["compiled"] else model
        self.parameters = sum(p.numel() for p in model.parameters())
        self.optimizer = make_optimizer(model, task)
        self.loss = ClipLoss()
        images, tokens = pairs(task["batch"], task["image_size"])
        images = (torch.from_numpy(images) / 255 - torch.tensor(MEAN)) / torch.tensor(
            STD
        )
        self.images = images.permute(0, 3, 1, 2).contiguous().to(self.device)
        self.tokens = torch.from_numpy(tokens).long().to(self.device)
        self.precision = contextlib.nullcontext()
        if task["dtype"] == "bfloat16":
            self.precision = torch.autocast(self.device, torch.bfloat16)

    def step(self) -> torch.Tensor:
        self.optimizer.zero_grad()
        with self.precision:
            loss = self.loss(*self.model(self.images, self.tokens))
        loss.backward()
        self.optimizer.step()
        with torch.no_grad():
            self.model.logit_scale.clamp_(0, math.log(100))
        return loss.detach()

    def run(self) -> dict:
        """Some steps on the one batch: seconds and CPU seconds a step, losses.

        One step goes before, untimed: a side that waited has to warm up again.
        """
        losses = [self.step().item()]
        start, used = time.perf_counter(), time.process_time()
        timed = [self.step() for _ in range(self.steps)]
        losses += [loss.item() for loss in timed]
        if self.device == "cuda":
            torch.cuda.synchronize()
        seconds = (time.perf_counter() - start) / self.steps
        used = (time.process_time() - used) / self.steps
        return {"seconds": seconds, "cpu_seconds": used, "losses": losses}

    def embed(self) -> dict:
        with torch.no_grad():
            image, text, _ = self.model(self.images, self.tokens)
        return {"image": image.tolist(), "text": text.tolist()}


def main() -> None:
    step = Step(json.loads(sys.argv[1]))
    about = {
        "versions": f"open_clip {open_clip.__version__}, torch {torch.__version__}",
        "parameters": step.parameters,
    }
    serve(about, {"run": step.run, "embed": step.embed})


if __name__ == "__main__":
    main()
