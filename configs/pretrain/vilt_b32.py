"""ViLT-B/32: one transformer for words and patches, on image-text pairs.

Paper     Kim et al. 2021, arXiv:2102.03334, section 4; drop-out and optimizer of its
          published code
Data      COCO, Visual Genome, SBU and Conceptual Captions in the paper: 4.1 M pictures,
          9.9 M captions; or a folder of your own (README, "Your data")
Command   python -m vlp_jax.train --config=configs/pretrain/vilt_b32.py \\
              --workdir=runs/vilt_b32 --config.data.train.root=DIR \\
              --config.data.train.captions=captions.tsv
Start     the paper's transformer comes from a ViT-B/32 of ImageNet; to start from one
          that a run of ours has trained (model.image.kind=plain_vit) add
              --config.initialise.checkpoint=DIR \\
              --config.initialise.parts="('^image/',)"
Pictures  squares of 384 pixels; the paper's have a shorter side of 384 and a longer of
          640 at most, and lose what is above 200 patches by chance
Losses    masked words (whole ones), matching with random pictures, and a tenth of
          word-patch alignment
Size      112.2 M parameters, 302 GFLOP a pair for a training step
Hardware  64 V100 in the paper
Expected  of the published weights, after 200,000 steps and fine-tuning: VQAv2 test-dev
          71.26, Flickr30k images by text R@1 64.4; not reproduced here
"""

from vlp_jax import recipe


def get_config():
    config = recipe.pretraining()
    config.name = "vilt_b32"
    config.batch_size = 4096
    config.steps = 200_000

    config.data.train.kind = "image_folder"
    config.data.threads = 16
    # Whole pictures: what a caption names may stand at the border.
    config.preprocessing.update(image_size=384, resize="squash")
    config.preprocessing.update(mean=(0.5,) * 3, std=(0.5,) * 3)
    config.tokenizer.update(path="google-bert/bert-base-uncased", length=40)
    config.tokenizer.vocab_size = 30_522  # what that name has, for plans without it

    config.model.kind = "vilt"
    config.model.image.update(kind="stream_vit", size="B/32", dtype="bfloat16")
    config.model.image.update(dropout=0.1, remat="dots")
    config.model.text.kind = None  # words enter the same transformer
    del config.bounds.logit_scale

    config.objectives.masked_lm.update(weight=1.0, whole_word=True)
    config.objectives.matching.update(weight=1.0, negatives="random")
    config.objectives.word_patch_alignment.weight = 0.1
    # A warm-up over a tenth of the steps, then a line to 0.
    config.learning_rate.update(peak=1e-4, warmup_steps=20_000)
    config.learning_rate.update(decay="constant", cooldown_steps=180_000)
    config.optimizer.update(b1=0.9, b2=0.98, epsilon=1e-8, weight_decay=0.01)
    config.optimizer.clip_norm = 0.0  # gradients are not clipped there
    config.checkpoint.every = 2000
    return config
