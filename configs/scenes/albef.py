"""ALBEF on digit scenes: align first, then fuse.

It also judges captions that are nearly right (contrasts, judging), which is NegCLIP's
idea (Yuksekgonul et al. 2022, arXiv:2210.01936), not ALBEF's: no batch holds the same
digits in another order. These contrasts show two or three digits, and half of the
tokens are masked instead of 15 % (Wettig et al. 2023, arXiv:2202.08005): from scenes of
one digit, and from one word at a time, a small model learns little.

Paper     Li et al. 2021, arXiv:2107.07651; full size: configs/pretrain/albef_vit_b16.py
Data      digit scenes: real handwritten digits with captions, made on the fly
Start     the quickstart's image tower, as the paper starts from DeiT
Command   bash launch/quickstart.sh    # trains that tower, in runs/quickstart
          python -m vlp_jax.train --config=configs/scenes/albef.py --workdir=runs/albef
          python -m vlp_jax.evaluate --checkpoint=runs/albef --output=runs/albef/eval
Other     from random weights, with more steps: --config.initialise.checkpoint=None \\
              --config.initialise.parts=None --config.steps=2700
Expected  matching 0.84 (digit 0.92, colour and size 0.96, relation 0.50, that is
          chance), image and text retrieval recall@1 0.97 (500 scenes, seed 0)
"""

from configs import quickstart
from configs.evaluate import matching_scenes


def get_config():
    config = quickstart.get_config()
    config.name = "albef_scenes"
    config.batch_size = 128
    config.steps = 1500
    config.tokenizer.length = 28
    config.contrasts.train.update(kind="digit_scenes", digit_counts=(2, 3))
    config.contrasts.batch_size = 64

    config.model.kind = "albef"
    config.initialise.update(checkpoint="runs/quickstart", parts=("^image/",))
    config.model.text.update(kind="bert", width=96, depth=2, heads=4)
    config.model.fusion.update(kind="bert", width=96, depth=2, heads=4)

    config.objectives.contrastive.weight = 0.0
    config.objectives.momentum_contrast.update(
        weight=1.0, queue_size=1024, soft_share=0.4, ramp_steps=500
    )
    config.objectives.matching.weight = 1.0
    config.objectives.masked_lm.update(weight=1.0, share=0.5)
    config.objectives.judging.weight = 1.0
    config.bounds.logit_scale = (0.6931472, 4.6051702)
    config.learning_rate.update(peak=1e-3, warmup_steps=200)

    config.evaluation = matching_scenes.get_config()
    return config
