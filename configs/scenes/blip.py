"""BLIP on digit scenes: align, judge and write.

Paper     Li et al. 2022, arXiv:2201.12086; full size: configs/pretrain/blip_vit_b16.py
Data      digit scenes: real handwritten digits with captions, made on the fly
Command   python -m vlp_jax.train --config=configs/scenes/blip.py --workdir=runs/blip
          python -m vlp_jax.evaluate --checkpoint=runs/blip --output=runs/blip/eval
"""

from configs import quickstart
from configs.evaluate import captioning_scenes, matching_scenes


def get_config():
    config = quickstart.get_config()
    config.name = "blip_scenes"
    config.batch_size = 128
    config.steps = 1500
    config.tokenizer.length = 28

    config.model.kind = "blip"
    config.model.image.update(kind="plain_vit", width=128)
    config.model.text.update(kind="mixed_bert", width=96, depth=3, heads=4)

    config.objectives.contrastive.weight = 0.0
    config.objectives.momentum_contrast.update(
        weight=1.0, queue_size=1024, soft_share=0.4, ramp_steps=500
    )
    config.objectives.matching.weight = 1.0
    config.objectives.captioning.weight = 1.0
    config.bounds.logit_scale = (0.6931472, 4.6051702)
    config.learning_rate.update(peak=1e-3, warmup_steps=200)

    config.evaluation = matching_scenes.get_config()
    evaluators = captioning_scenes.get_config().evaluators
    config.evaluation.evaluators.captioning = evaluators.captioning
    return config
