"""CoCoOp: a learned prompt that every picture shifts a little.

Paper     Zhou et al. 2022, arXiv:2203.05557
Data      as configs/transfer/few_shot.py
Command   python -m vlp_jax.train --config=configs/transfer/cocoop.py \\
              --workdir=runs/cocoop
          python -m vlp_jax.evaluate --checkpoint=runs/cocoop --output=runs/cocoop/eval
Trains    the embeddings of four context tokens, and the network that shifts them
Cost      every picture has prompts of its own: batch x classes texts a step
"""

from configs.transfer import coop


def get_config():
    config = coop.get_config()
    config.name = "cocoop"
    config.model.conditional_prompts = True
    config.trainable = ("^adapters/context$", "^meta_net/")
    config.learning_rate.peak = 5e-3
    return config
