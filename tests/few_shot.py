"""The strategies of configs/transfer on runs of tiny.py, and two such runs.

The runs are fixtures of tests/conftest.py: `pretrained` and `adapted`.
"""

from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from tests.recipes import changed, tiny
from tests.saved_runs import saved
from vlp_jax.core.class_prompts import fill
from vlp_jax.data.sources.scene_words import NUMBERS
from vlp_jax.runs import TrainingRun
from vlp_jax.training.state import TrainState

CONTEXT = "[v1] [v2] {}"


def labelled(checkpoint, **settings) -> ConfigDict:
    """tiny.py on two pictures of each digit, from a checkpoint of it."""
    config = tiny(
        steps=3,
        batch_size=8,
        ema_decay=None,
        data__train__kind=None,
        labels__shots=2,
        initialise__checkpoint=str(checkpoint),
        tokenizer__length=16,
        prompts__template="a big {}",
        objectives__contrastive__weight=0.0,
        objectives__classification__weight=1.0,
        optimizer__weight_decay=0.0,
        learning_rate__warmup_steps=0,
        evaluation__every=None,
        evaluation__batch_size=8,
    )
    config.labels.train.update(
        kind="digit_scenes", size=200, canvas=24, digit_counts=(1,)
    )
    del config.evaluation.evaluators.retrieval
    if "model__kind" in settings:  # which has no scale
        del config.bounds.logit_scale
    return changed(config, **settings)


HEAD = dict(model__kind="image_classifier", model__embedding_size=None)
LORA = dict(lora__patterns=("^image/.*(query|value)/kernel$",), lora__rank=2)
PROMPTS = dict(model__image__prompts=3, trainable=("prompts$",))
# name -> settings; which parameters train is what `trainable` says.
STRATEGIES = {
    "full": {},
    "head": dict(**HEAD, trainable=("^class_head/",)),
    "locked_tower": dict(trainable=("^text", "^logit")),
    "last_block": dict(trainable=("^image/encoder/block_0/", "^image/norm_post")),
    "bias": dict(trainable=("/bias$",)),
    "coop": dict(prompts__template=CONTEXT, trainable=("^adapters/context$",)),
    "own_context": dict(
        prompts__template="[c1] {} [c2]", trainable=("^adapters/context$",)
    ),
    "cocoop": dict(
        prompts__template=CONTEXT,
        model__conditional_prompts=True,
        trainable=("^adapters/context$", "^meta_net/"),
    ),
    "vpt": PROMPTS,
    "deep_vpt": dict(**PROMPTS, model__image__deep_prompts=True),
    "lora": dict(**LORA, trainable=("^adapters/lora/",)),
}
ADAPTED = STRATEGIES["lora"] | dict(
    prompts__template=CONTEXT,
    trainable=("^adapters/",),
    learning_rate__peak=0.1,
    lora__alpha=256.0,
    ema_decay=0.9,
)
PICTURES = np.random.default_rng(0).integers(0, 256, (5, 24, 24, 3)).astype(np.uint8)


def pretrain(workdir: Path) -> Path:
    """A run of tiny.py that is saved, its parameters one larger than at first."""
    run, _ = saved(workdir, 5, tiny, tokenizer__length=16)
    run.store.close()
    return workdir


def adapt(checkpoint: Path, workdir: Path) -> tuple[Path, TrainingRun, TrainState]:
    """A finished run with LoRA and learned context: its folder, and its last state."""
    run = TrainingRun(labelled(checkpoint, **ADAPTED), workdir)
    return workdir, run, run.finish(run.start())


def fresh(config: ConfigDict, workdir: Path) -> TrainState:
    """The state that a run begins with."""
    return TrainingRun(config, workdir).start()


def outputs(predictor) -> list[np.ndarray]:
    """Embeddings of pictures and of prompts with learned words, and their scores."""
    prompts = fill(CONTEXT, NUMBERS)
    return [
        predictor.encode_image(PICTURES),
        predictor.encode_text(prompts),
        predictor.classify(PICTURES, prompts),
    ]
