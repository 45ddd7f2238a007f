"""LoRA: sixteen pictures of each class teach a low-rank change of the attention.

Paper     Hu et al. 2021, arXiv:2106.09685
Data      as configs/transfer/few_shot.py
Command   python -m vlp_jax.train --config=configs/transfer/lora.py --workdir=runs/lora
          python -m vlp_jax.evaluate --checkpoint=runs/lora --output=runs/lora/eval
Export    python -m vlp_jax.port --source=vlp:runs/lora --target=hf:exports/lora
          writes an ordinary model, in which the change is merged
Trains    two matrices of rank 4 beside every query and value of the image tower
"""

from configs.transfer import few_shot


def get_config():
    config = few_shot.get_config()
    config.name = "lora"
    config.lora.update(
        patterns=("^image/.*attention/(query|value)/kernel$",), rank=4, alpha=8.0
    )
    config.trainable = ("^adapters/lora/",)
    config.learning_rate.peak = 3e-3
    config.optimizer.weight_decay = 0.0
    return config
