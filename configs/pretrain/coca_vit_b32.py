"""CoCa ViT-B/32: clip_vit_b32, whose texts are also told from their pictures.

Paper     Yu et al. 2022, arXiv:2205.01917; the geometry is open_clip's coca_ViT-B-32,
          batch, learning rate and pairs those it was trained with on LAION-2B
          (laion.ai/blog/coca), and what is not said there is clip_vit_b32's
Data      a folder of your own pictures and a captions table (README, "Your data")
Command   python -m vlp_jax.train --config=configs/pretrain/coca_vit_b32.py \\
              --workdir=runs/coca_b32 --config.data.train.root=DIR \\
              --config.data.train.captions=captions.tsv
Size      253.6 M parameters
Memory    the batch fits 256 chips of v5e in micro-batches (docs/scaling.md):
          --config.accumulation=8 --config.model.image.remat=dots
          --config.model.text.remat=dots --config.model.fusion.remat=dots
Other     coca_ViT-L-14: model.image.size=L/14, model.text.size=L, model.fusion.size=L,
          model.embedding_size=768, tokenizer.path=openai/clip-vit-large-patch14
          captions alone, as fine-tuned on COCO: objectives.contrastive.weight=0,
          learning_rate.peak=1e-5, batch_size=128
Expected  ImageNet zero-shot 63.6 after 13 G pairs of LAION-2B (open_clip, which
          publishes the weights as laion2b_s13b_b90k); not reproduced here
"""

from configs.pretrain import clip_vit_b32


def get_config():
    config = clip_vit_b32.get_config()
    config.name = "coca_vit_b32"
    config.batch_size = 90_112
    config.steps = 144_300  # 13.0 G pairs

    config.tokenizer.length = 76  # the class token has one more position
    config.model.kind = "coca"
    config.model.image.activation = "gelu"
    config.model.text.update(kind="coca_text", activation="gelu")
    config.model.fusion.update(
        kind="coca", size="B", activation="gelu", dtype="bfloat16"
    )

    config.objectives.captioning.update(weight=2.0, label_smoothing=0.0)
    config.learning_rate.peak = 1e-3
    return config
