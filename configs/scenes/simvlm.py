"""SimVLM on digit scenes: a picture is the beginning of its caption, on a laptop.

Paper     Wang et al. 2022, arXiv:2108.10904, as one stack with a prefix mask; pictures
          come as 9 patches, there through the first stages of a residual network
Data      digit scenes: real handwritten digits with captions, made on the fly
Command   python -m vlp_jax.train --config=configs/scenes/simvlm.py \\
              --workdir=runs/simvlm
Expected  captions of unseen scenes that are right (`exact`) 0.785, CIDEr 3.48 (200
          scenes, seed 0)
"""

from configs import quickstart
from vlp_jax import recipe


def get_config():
    config = quickstart.get_config()
    config.name = "simvlm_scenes"
    config.batch_size = 128
    config.steps = 2000

    config.model.update(kind="simvlm", embedding_size=None)
    config.model.image.update(kind="vit", width=128, depth=0)
    config.model.decoder.update(kind="prefix", width=128, depth=4, heads=4)

    config.model.text.kind = None  # the decoder reads and writes
    del config.bounds.logit_scale

    config.objectives.contrastive.weight = 0.0
    config.objectives.prefix_lm.weight = 1.0
    config.learning_rate.update(peak=1e-3, warmup_steps=200)
    config.evaluation = recipe.evaluation()
    config.evaluation.evaluators.captioning = recipe.evaluator(
        "captioning",
        recipe.source("digit_scenes", split="test", size=200),
        max_length=30,
    )
    config.evaluation.every = 500
    return config
