"""ViT-B/16 and BERT-base side by side: a dual encoder of two published encoders.

Paper     Dosovitskiy et al. 2021, arXiv:2010.11929, and Devlin et al. 2019,
          arXiv:1810.04805, joined as transformers' VisionTextDualEncoderModel joins
          them. It comes with no recipe from random weights; this one is CLIP's
          (Radford et al. 2021, arXiv:2103.00020, tables 18-19), as in clip_vit_b16
Data      a folder of your own pictures and a captions table (README, "Your data")
Command   python -m vlp_jax.train --config=configs/pretrain/vit_bert.py \\
              --workdir=runs/vit_bert --config.data.train.root=DIR \\
              --config.data.train.captions=captions.tsv
Others    model.image.kind: plain_vit, vit; model.text.kind and .size: bert (tiny, mini,
          small, medium, base, large), roberta (base, large), gpt2 (small, medium,
          large, xl), with the tokenizer of the same family:
          FacebookAI/roberta-base, openai-community/gpt2
          one projection for both: model.share_projection=True
Size      196.3 M parameters, 138.5 GFLOP a pair for a training step
Expected  no published figure; not trained here
"""

from configs.pretrain import clip_vit_b32


def get_config():
    config = clip_vit_b32.get_config()
    config.name = "vit_bert"
    config.preprocessing.update(mean=(0.5,) * 3, std=(0.5,) * 3)  # the ViT's
    config.tokenizer.update(path="google-bert/bert-base-uncased", length=64)
    config.tokenizer.vocab_size = 30_522  # what that name has, for plans without it
    config.model.image.update(kind="plain_vit", size="B/16", remat="dots")
    config.model.text.update(kind="bert", size="base", remat="dots")
    return config
