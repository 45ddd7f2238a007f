"""The smallest ALBEF: a queue, a moving average to learn from, two streams."""

from tests.end_to_end import tiny
from vlp_jax import recipe


def get_config():
    config = tiny.get_config()
    config.name = "tiny_albef"
    config.model.kind = "albef"
    part = dict(width=16, depth=1, heads=2)
    config.model.image.update(kind="plain_vit", **part)
    config.model.text.update(kind="bert", **part)
    config.model.fusion.update(kind="bert", **part)

    config.objectives.contrastive.weight = 0.0
    config.objectives.momentum_contrast.update(weight=1.0, queue_size=40, ramp_steps=20)
    config.objectives.matching.weight = 1.0
    config.objectives.masked_lm.update(weight=1.0, soft_share=0.4, ramp_steps=20)

    config.contrasts.train = recipe.mixed("digit_scenes", size=200, canvas=24)
    config.contrasts.batch_size = 8
    config.objectives.judging.weight = 1.0
    return config
