"""Quickstart: CLIP on digit scenes, from nothing to zero-shot in minutes on a laptop.

Model     a small CLIP (Radford et al. 2021, arXiv:2103.00020)
Data      digit scenes: real handwritten digits with captions, made on the fly
Command   bash launch/quickstart.sh
"""

from configs.evaluate import digit_scenes
from vlp_jax import recipe


def get_config():
    config = recipe.pretraining()
    config.name = "quickstart"
    config.batch_size = 256
    config.steps = 1100

    config.data.train.kind = "digit_scenes"
    config.preprocessing.update(image_size=48, mean=(0.2,) * 3, std=(0.2,) * 3)
    config.tokenizer.update(vocab_size=512, length=32)

    config.model.embedding_size = 128
    config.model.image.update(
        patch_size=16, width=192, depth=4, heads=4, activation="gelu"
    )
    config.model.text.update(width=96, depth=2, heads=4, activation="gelu")

    config.objectives.contrastive.weight = 1.0
    config.learning_rate.update(peak=2e-3, warmup_steps=100)
    config.optimizer.weight_decay = 0.1
    config.checkpoint.every = 200
    config.log_every = 50

    config.evaluation = digit_scenes.get_config()
    config.evaluation.every = 250
    return config
