"""Classes of pictures by a head: a pretrained image tower is fine-tuned, or probed.

The rate of a layer falls towards the input (layer decay), so that early layers stay
near what pretraining made of them.

Paper     Bao et al. 2021 (BEiT), arXiv:2106.08254, for layer decay; Kornblith et al.
          2019, arXiv:1805.08974, for what transfers
Data      as configs/transfer/few_shot.py; of your own a folder of pictures with a
          folder a class:
              --config.labels.train.kind=image_folder --config.labels.train.root=DIR
              --config.labels.train.digit_counts=None --config.labels.train.style=None
          and config.evaluation.data likewise, its split and size None as well
Command   python -m vlp_jax.train --config=configs/transfer/classes.py \\
              --workdir=runs/classes
          python -m vlp_jax.evaluate --checkpoint=runs/classes \\
              --output=runs/classes/eval
Other     the head alone (linear probe): --config.trainable="('^class_head/',)"
          the last two blocks and the head:
              --config.trainable="('^class_head/', '^image/norm_post', 'block_[23]/')"
          biases and the head: --config.trainable="('^class_head/', '/bias$')"
          from random weights: --config.initialise.checkpoint=None \\
              --config.initialise.parts=None
"""

from configs.transfer import few_shot
from vlp_jax import recipe


def get_config():
    config = few_shot.get_config()
    config.name = "classes"
    config.model.update(kind="image_classifier", embedding_size=None)
    config.model.text.kind = None
    del config.bounds.logit_scale
    config.initialise.parts = ("^image/",)
    config.layer_decay = 0.75
    config.learning_rate.peak = 1e-3

    evaluators = config.evaluation.evaluators
    del evaluators.zero_shot
    evaluators.classification = recipe.evaluator("classification")
    return config
