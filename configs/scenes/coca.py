"""CoCa on digit scenes: contrast and captions of one model, on a laptop.

Paper     Yu et al. 2022, arXiv:2205.01917; the recipe at full size is
          configs/pretrain/coca_vit_b32.py
Data      digit scenes: real handwritten digits with captions, made on the fly
Command   python -m vlp_jax.train --config=configs/scenes/coca.py --workdir=runs/coca
"""

from configs import quickstart
from vlp_jax import recipe


def get_config():
    config = quickstart.get_config()
    config.name = "coca_scenes"
    config.batch_size = 128
    config.steps = 2000

    config.model.kind = "coca"
    config.model.queries = 16
    config.model.pooler_heads = 4
    config.model.text.kind = "coca_text"
    config.model.fusion.update(
        kind="coca", width=96, depth=2, heads=4, activation="gelu"
    )

    config.objectives.captioning.update(weight=2.0, label_smoothing=0.0)
    config.learning_rate.update(peak=1e-3, warmup_steps=200)
    config.evaluation.evaluators.captioning = recipe.evaluator(
        "captioning",
        recipe.source("digit_scenes", split="test", size=200),
        max_length=30,
    )
    return config
