"""CLIP ViT-B/32 on web image-text pairs.

Paper     Radford et al. 2021, arXiv:2103.00020; hyper-parameters of its tables 18-19
Data      a folder of your own pictures and a captions table (README, "Your data")
Command   python -m vlp_jax.train --config=configs/pretrain/clip_vit_b32.py \\
              --workdir=runs/clip_b32 --config.data.train.root=DIR \\
              --config.data.train.captions=captions.tsv
Size      151.3 M parameters, 44.3 GFLOP a pair for a training step
Batch     32,768 pairs over all devices together, as in the paper; with little data
          accuracy peaks earlier, near 16k for 3 M pairs
Expected  ImageNet zero-shot 63.3 after 12.8 G pairs of the paper's private data, 62.96
          after the same number from LAION-400M (open_clip); not reproduced here
"""

from vlp_jax import recipe


def get_config():
    config = recipe.pretraining()
    config.name = "clip_vit_b32"
    config.batch_size = 32_768
    config.steps = 390_000  # 12.8 G pairs

    config.data.train.kind = "image_folder"
    # The paper crops a random square of the resized picture; this is open_clip's.
    config.data.crop.update(scale=(0.9, 1.0))
    config.data.threads = 16
    config.preprocessing.image_size = 224
    config.tokenizer.update(path="openai/clip-vit-base-patch32", length=77)
    config.tokenizer.vocab_size = 49_408  # what that name has, for plans without it

    config.model.embedding_size = 512
    config.model.image.update(size="B/32", dtype="bfloat16")
    config.model.text.update(size="B", dtype="bfloat16")

    config.objectives.contrastive.weight = 1.0
    config.learning_rate.update(peak=5e-4, warmup_steps=2000)
    config.optimizer.update(b1=0.9, b2=0.98, epsilon=1e-6, weight_decay=0.2)
    config.optimizer.clip_norm = 0.0  # the paper does not clip gradients
    config.checkpoint.every = 2000
    return config
