"""VPT: sixteen pictures of each class teach tokens that stand beside the patches.

Paper     Jia et al. 2022, arXiv:2203.12119
Data      as configs/transfer/few_shot.py
Command   python -m vlp_jax.train --config=configs/transfer/vpt.py --workdir=runs/vpt
          python -m vlp_jax.evaluate --checkpoint=runs/vpt --output=runs/vpt/eval
Other     shallow prompts, before the first block alone:
              --config.model.image.deep_prompts=False
Trains    eight tokens before every block of the image tower
"""

from configs.transfer import few_shot


def get_config():
    config = few_shot.get_config()
    config.name = "vpt"
    config.model.image.update(prompts=8, deep_prompts=True)
    config.trainable = ("^image/.*prompts$",)
    config.learning_rate.peak = 1e-2
    config.optimizer.weight_decay = 0.0
    return config
