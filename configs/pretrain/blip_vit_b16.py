"""BLIP with ViT-B/16 and BERT-base: one text tower aligns, judges and writes.

Paper     Li et al. 2022, arXiv:2201.12086: contrast with a momentum model and a queue
          of 57,600, matching with hard negatives, and the next word; 20 epochs of 14 M
          pictures at 224 pixels, in batches of 2,880
Data      a folder of your own pictures and a captions table (README, "Your data"); the
          paper's are COCO, Visual Genome, Conceptual Captions, CC12M and SBU
          (docs/data.md), with captions that an earlier model wrote and chose (CapFilt)
Command   python -m vlp_jax.train --config=configs/pretrain/blip_vit_b16.py \\
              --workdir=runs/blip --config.data.train.root=DIR \\
              --config.data.train.captions=captions.tsv
Start     the paper starts from DeiT-B/16 and BERT-base; here
          --config.initialise.checkpoint=RUN takes an image tower of a run or an import
Size      252.1 M parameters
Hardware  two nodes of 16 GPUs in the paper
Scores    of the paper's 14 M pictures, fine-tuned at 384 pixels: COCO retrieval
          recall@1 80.6 (text) and 63.1 (image), COCO captions CIDEr 129.7, VQA test-dev
          77.54; not trained here
Differs   pictures are cropped and mirrored, not changed by RandAugment; the rate falls
          in a cosine to the end of the paper's steps of 0.85 an epoch
"""

from configs.pretrain import clip_vit_b32

EPOCH = 4861  # steps over 14 M pictures


def get_config():
    config = clip_vit_b32.get_config()
    config.name = "blip_vit_b16"
    config.batch_size = 2880
    config.steps = 20 * EPOCH
    config.data.crop.scale = (0.2, 1.0)
    config.tokenizer.update(path="google-bert/bert-base-uncased", length=30)
    config.tokenizer.vocab_size = 30_522  # what that name has, for plans without it

    config.model.kind = "blip"
    config.model.embedding_size = 256
    config.model.image.update(
        kind="plain_vit", size="B/16", norm_epsilon=1e-6, remat="dots"
    )
    # [DEC] and [ENC] are the model's own, behind the tokens of that name.
    config.model.text.update(kind="mixed_bert", size="base", dropout=0.1, remat="dots")

    config.objectives.contrastive.weight = 0.0
    config.objectives.momentum_contrast.update(
        weight=1.0, queue_size=57_600, soft_share=0.4, ramp_steps=2 * EPOCH
    )
    config.momentum_decay = 0.995
    config.objectives.matching.weight = 1.0
    config.objectives.captioning.update(weight=1.0, label_smoothing=0.1)
    config.bounds.logit_scale = (0.6931472, 6.9077553)  # temperatures of 0.5 to 0.001

    config.optimizer.update(b2=0.999, epsilon=1e-8, weight_decay=0.05)
    config.learning_rate.update(peak=3e-4, warmup_steps=3000, final_fraction=0.045)
    return config
