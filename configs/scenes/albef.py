"""ALBEF on digit scenes: align first, then fuse.

It also judges captions that are nearly right (contrasts, judging), which is NegCLIP's
idea (Yuksekgonul et al. 2022, arXiv:2210.01936), not ALBEF's: no batch holds the same
digits in another order, so that matching alone does not learn to tell orders apart.

Paper     Li et al. 2021, arXiv:2107.07651; full size: configs/pretrain/albef_vit_b16.py
Data      digit scenes: real handwritten digits with captions, made on the fly
Command   python -m vlp_jax.train --config=configs/scenes/albef.py --workdir=runs/albef
          python -m vlp_jax.evaluate --checkpoint=runs/albef --output=runs/albef/eval
"""

from configs import quickstart
from configs.evaluate import matching_scenes


def get_config():
    config = quickstart.get_config()
    config.name = "albef_scenes"
    config.batch_size = 128
    config.steps = 1500
    config.tokenizer.length = 28
    config.contrasts.train.kind = "digit_scenes"
    config.contrasts.batch_size = 64

    config.model.kind = "albef"
    config.model.image.update(kind="plain_vit", width=128)
    config.model.text.update(kind="bert", width=96, depth=2, heads=4)
    config.model.fusion.update(kind="bert", width=96, depth=2, heads=4)

    config.objectives.contrastive.weight = 0.0
    config.objectives.momentum_contrast.update(
        weight=1.0, queue_size=1024, soft_share=0.4, ramp_steps=500
    )
    config.objectives.matching.weight = 1.0
    config.objectives.masked_lm.weight = 1.0
    config.objectives.judging.weight = 1.0
    config.bounds.logit_scale = (0.6931472, 4.6051702)
    config.learning_rate.update(peak=1e-3, warmup_steps=200)

    config.evaluation = matching_scenes.get_config()
    return config
