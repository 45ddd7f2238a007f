"""SigLIP ViT-B/16 on web image-text pairs: a sigmoid for every pair of the batch.

Paper     Zhai et al. 2023, arXiv:2303.15343: batch, learning rate, weight decay, b2;
          the number of steps is that of its comparisons at 9 G pairs, the warm-up ours
Data      a folder of your own pictures and a captions table (README, "Your data")
Command   python -m vlp_jax.train --config=configs/pretrain/siglip_vit_b16.py \\
              --workdir=runs/siglip_b16 --config.data.train.root=DIR \\
              --config.data.train.captions=captions.tsv
Size      203.2 M parameters, 139.3 GFLOP a pair for a training step
Batch     32,768 pairs over all devices together; larger ones gained little there
Expected  ImageNet zero-shot 76.0 for google/siglip-base-patch16-224, which saw Google's
          private WebLI; not reproduced here
"""

import math

from vlp_jax import recipe


def get_config():
    config = recipe.pretraining()
    config.name = "siglip_vit_b16"
    config.batch_size = 32_768
    config.steps = 275_000  # 9.0 G pairs

    config.data.train.kind = "image_folder"
    config.data.threads = 16
    config.preprocessing.update(
        image_size=224, resize="squash", mean=(0.5,) * 3, std=(0.5,) * 3
    )
    config.tokenizer.update(
        path="google/siglip-base-patch16-224", length=64, canonicalise="siglip"
    )
    config.tokenizer.vocab_size = 32_000  # what that name has, for plans without it

    config.model.embedding_size = 768
    config.model.logit_scale_init = math.log(10)
    config.model.logit_bias_init = -10.0
    config.model.project_image = False
    config.model.text_projection_bias = True
    config.model.image.update(
        kind="siglip_vit", size="B/16", dtype="bfloat16", remat="dots"
    )
    config.model.text.update(kind="siglip_text", size="B", dtype="bfloat16")

    config.objectives.sigmoid.weight = 1.0
    config.learning_rate.update(peak=1e-3, warmup_steps=10_000)
    config.optimizer.update(b1=0.9, b2=0.95, epsilon=1e-8, weight_decay=1e-4)
    config.optimizer.no_decay = ("position_embedding", "token_embedding")
    with config.unlocked():
        del config.bounds.logit_scale  # the paper lets it grow freely
    config.checkpoint.every = 2000
    return config
