"""BLIP on digit scenes: align, judge and write, on a laptop.

Paper     Li et al. 2022, arXiv:2201.12086; the recipe at full size is
          configs/pretrain/blip_vit_b16.py
Data      digit scenes: real handwritten digits with captions, made on the fly
Command   python -m vlp_jax.train --config=configs/scenes/blip.py --workdir=runs/blip
"""

from configs import quickstart


def get_config():
    config = quickstart.get_config()
    config.name = "blip_scenes"
    config.batch_size = 128
    config.steps = 3000

    config.model.kind = "blip"
    config.model.image.update(kind="plain_vit", width=128, norm_epsilon=1e-6)
    config.model.text.update(kind="mixed_bert", width=128, depth=3, heads=4)
    config.bounds.logit_scale = (0.6931472, 4.6051702)

    config.objectives.contrastive.weight = 0.0
    config.objectives.momentum_contrast.update(
        weight=1.0, queue_size=1024, soft_share=0.4, ramp_steps=500
    )
    config.objectives.matching.weight = 1.0
    config.objectives.captioning.weight = 1.0
    config.learning_rate.update(peak=1e-3, warmup_steps=200)
    return config
