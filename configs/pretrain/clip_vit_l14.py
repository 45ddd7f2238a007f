"""CLIP ViT-L/14.

Paper     Radford et al. 2021, arXiv:2103.00020; hyper-parameters of its tables 18-19
Command   python -m vlp_jax.train --config=configs/pretrain/clip_vit_l14.py \\
              --workdir=runs/clip_l14 --config.data.train.root=DIR \\
              --config.data.train.captions=captions.tsv
Size      427.6 M parameters, 526 GFLOP a pair for a training step
Expected  ImageNet zero-shot 75.5 (paper); not reproduced here
"""

from configs.pretrain import clip_vit_b32


def get_config():
    config = clip_vit_b32.get_config()
    config.name = "clip_vit_l14"
    config.tokenizer.path = "openai/clip-vit-large-patch14"
    config.model.embedding_size = 768
    config.model.image.update(size="L/14", remat="dots", scan=True)
    config.model.text.size = "L"
    config.learning_rate.peak = 4e-4
    config.mesh.fsdp = 8
    return config
