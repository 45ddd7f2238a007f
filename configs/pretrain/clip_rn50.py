"""CLIP RN50: clip_vit_b32 with CLIP's residual network as the image tower.

Paper     Radford et al. 2021, arXiv:2103.00020; hyper-parameters of its tables 18-19
Command   python -m vlp_jax.train --config=configs/pretrain/clip_rn50.py \\
              --workdir=runs/clip_rn50 --config.data.train.root=DIR \\
              --config.data.train.captions=captions.tsv
Size      102.0 M parameters, 52.6 GFLOP a pair for a training step
Batch     32,768 pairs, as in the paper; batch statistics are those of all of them, or
          of a micro-batch with --config.accumulation
Other     RN101, RN50x4, RN50x16 and RN50x64: docs/systems.md has their settings
Expected  ImageNet zero-shot 59.8 after 12.8 G pairs of the paper's private data; not
          reproduced here
"""

from configs.pretrain import clip_vit_b32


def get_config():
    config = clip_vit_b32.get_config()
    config.name = "clip_rn50"
    config.model.embedding_size = 1024
    config.model.project_image = False  # the attention that pools is the projection
    config.model.image.update(kind="modified_resnet", size="RN50", remat="full")

    config.optimizer.update(b2=0.999, epsilon=1e-8)
    return config
