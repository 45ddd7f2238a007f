"""ViLT on digit scenes: words and patches in one stream.

Paper     Kim et al. 2021, arXiv:2102.03334; full size: configs/pretrain/vilt_b32.py
Data      digit scenes: captions, and beside them some that are nearly right (as in
          configs/scenes/albef.py; the paper has other pictures as negatives alone)
Command   python -m vlp_jax.train --config=configs/scenes/vilt.py --workdir=runs/vilt
          python -m vlp_jax.evaluate --checkpoint=runs/vilt --output=runs/vilt/eval
Expected  matching 0.73 (colour 0.98, size 0.94; digit 0.51, relation 0.50: chance) of
          500 scenes, seed 0
"""

from configs import quickstart
from configs.evaluate import matching_scenes


def get_config():
    config = quickstart.get_config()
    config.name = "vilt_scenes"
    config.batch_size = 128
    config.steps = 1500
    config.tokenizer.length = 28
    config.contrasts.train.update(kind="digit_scenes", digit_counts=(2, 3))
    config.contrasts.batch_size = 64

    config.model.update(kind="vilt", embedding_size=None)
    config.model.image.update(kind="stream_vit", width=96)
    config.model.text.kind = None  # words enter the same transformer
    del config.bounds.logit_scale

    config.objectives.contrastive.weight = 0.0
    config.objectives.masked_lm.update(weight=1.0, whole_word=True, share=0.5)
    config.objectives.matching.update(weight=1.0, negatives="random")
    config.objectives.word_patch_alignment.weight = 0.1
    config.objectives.judging.weight = 1.0
    config.learning_rate.update(peak=1e-3, warmup_steps=200)

    config.evaluation = matching_scenes.get_config()
    del config.evaluation.evaluators.retrieval  # it has no embeddings to begin with
    return config
