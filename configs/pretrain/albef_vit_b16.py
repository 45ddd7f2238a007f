"""ALBEF with ViT-B/16 and BERT-base: align, then fuse.

Paper     Li et al. 2021, arXiv:2107.07651: contrast with a momentum model and a queue,
          matching with hard negatives, masked words with soft targets; 30 epochs of
          4 or 14 M pictures in batches of 512 on 8 A100
Data      a folder of your own pictures and a captions table (README, "Your data"), or
          COCO, Visual Genome and Conceptual Captions together (docs/data.md)
Command   python -m vlp_jax.train --config=configs/pretrain/albef_vit_b16.py \\
              --workdir=runs/albef --config.data.train.root=DIR \\
              --config.data.train.captions=captions.tsv
Start     the paper starts from DeiT-B/16 and the 12 layers of BERT-base; here
          --config.initialise.checkpoint=RUN takes an image tower of a run or an import
Scores    of the paper's 14 M pictures, fine-tuned: COCO retrieval recall@1 60.7 (image)
          and 77.6 (text), VQA test-dev 75.84; not trained here
Size      209.6 M parameters
Differs   pictures are cropped and mirrored, not changed by RandAugment
"""

from configs.pretrain import clip_vit_b32


def get_config():
    config = clip_vit_b32.get_config()
    config.name = "albef_vit_b16"
    config.batch_size = 512
    config.steps = 820_000  # 30 epochs of 14 M pictures
    config.preprocessing.image_size = 256
    config.data.crop.scale = (0.2, 1.0)
    config.tokenizer.update(path="google-bert/bert-base-uncased", length=25)
    config.tokenizer.vocab_size = 30_522  # what that name has, for plans without it

    config.model.kind = "albef"
    config.model.embedding_size = 256
    config.model.image.update(
        kind="plain_vit", size="B/16", norm_epsilon=1e-6, remat="dots"
    )
    half = dict(width=768, depth=6, heads=12, dtype="bfloat16", remat="dots")
    config.model.text.update(kind="bert", size=None, **half)
    config.model.fusion.update(kind="bert", **half)

    config.objectives.contrastive.weight = 0.0
    config.objectives.momentum_contrast.update(
        weight=1.0, queue_size=65_536, soft_share=0.4, ramp_steps=27_000
    )
    config.objectives.matching.weight = 1.0
    config.objectives.masked_lm.update(weight=1.0, soft_share=0.4, ramp_steps=27_000)
    config.bounds.logit_scale = (0.6931472, 6.9077553)  # temperatures of 0.5 to 0.001

    config.optimizer.update(b2=0.999, epsilon=1e-8, weight_decay=0.02)
    config.learning_rate.update(peak=1e-4, warmup_steps=1000, final_fraction=0.1)
    return config
