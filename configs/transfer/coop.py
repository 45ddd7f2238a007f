"""CoOp: sixteen pictures of each class teach a prompt of which no word is written.

Paper     Zhou et al. 2022, arXiv:2109.01134
Data      as configs/transfer/few_shot.py
Command   python -m vlp_jax.train --config=configs/transfer/coop.py --workdir=runs/coop
          python -m vlp_jax.evaluate --checkpoint=runs/coop --output=runs/coop/eval
Other     context of each class's own, or the name in the middle or in front:
              --config.prompts.template='[c1] [c2] [c3] [c4] {}'
              --config.prompts.template='[v1] [v2] {} [v3] [v4]'
Trains    the embeddings of the context tokens: four vectors
"""

from configs.transfer import few_shot
from vlp_jax import recipe


def get_config():
    config = few_shot.get_config()
    config.name = "coop"
    config.prompts.update(template="[v1] [v2] [v3] [v4] {}", start="a picture of a")
    config.trainable = ("^adapters/context$",)
    config.learning_rate.peak = 2e-2
    config.optimizer.weight_decay = 0.0

    evaluators = config.evaluation.evaluators
    del evaluators.zero_shot
    template = config.prompts.get_ref("template")  # whatever the command line makes it
    evaluators.classification = recipe.evaluator("classification")
    evaluators.classification.template = template
    return config
