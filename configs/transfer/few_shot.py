"""Sixteen pictures of each class: a pretrained CLIP learns a domain it has not seen.

The classifier is zero-shot's, the similarity of a picture to the prompt of each class,
and all of both towers is fine-tuned. The other strategies of this folder (coop, cocoop,
vpt, lora) are this recipe with other things that train.

Paper     Goyal et al. 2023, arXiv:2212.00638 (fine-tune as you pretrain), with the
          cross entropy of CoOp (Zhou et al. 2022, arXiv:2109.01134) in place of the
          contrast
Data      digit scenes of one digit, in fog: half of the contrast, before a bright mist
Start     bash launch/quickstart.sh    # trains the model, in runs/quickstart
Command   python -m vlp_jax.train --config=configs/transfer/few_shot.py \\
              --workdir=runs/few_shot
          python -m vlp_jax.evaluate --checkpoint=runs/few_shot \\
              --output=runs/few_shot/eval
Zero-shot what it begins with: configs/evaluate/foggy_scenes.py
"""

from configs import quickstart
from configs.evaluate import foggy_scenes


def get_config():
    config = quickstart.get_config()
    config.name = "few_shot"
    config.batch_size = 32
    config.steps = 200

    config.data.train.kind = None
    config.labels.train.update(kind="digit_scenes", digit_counts=(1,), style="foggy")
    config.labels.shots = 16
    config.initialise.checkpoint = "runs/quickstart"
    config.prompts.template = "a picture of a {}"

    config.objectives.contrastive.weight = 0.0
    config.objectives.classification.weight = 1.0
    config.learning_rate.update(peak=3e-4, warmup_steps=20)
    config.evaluation = foggy_scenes.get_config()
    return config
