"""CLIP ViT-B/16: clip_vit_b32 with four times the patches.

Paper     Radford et al. 2021, arXiv:2103.00020; hyper-parameters of its tables 18-19
Command   python -m vlp_jax.train --config=configs/pretrain/clip_vit_b16.py \\
              --workdir=runs/clip_b16 --config.data.train.root=DIR \\
              --config.data.train.captions=captions.tsv
Size      149.6 M parameters, 123.3 GFLOP a pair for a training step
Expected  ImageNet zero-shot 68.3 (paper); not reproduced here
"""

from configs.pretrain import clip_vit_b32


def get_config():
    config = clip_vit_b32.get_config()
    config.name = "clip_vit_b16"
    config.model.image.size = "B/16"
    config.model.image.remat = "dots"
    return config
