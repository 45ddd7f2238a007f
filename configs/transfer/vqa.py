"""Questions about digit scenes: a pretrained ALBEF learns to answer by class.

Paper     Li et al. 2021, arXiv:2107.07651, for the model; Kim et al. 2021 (ViLT),
          arXiv:2102.03334, for answers as classes
Data      digit scenes with five to eleven questions each
Start     runs/albef, which the command of configs/scenes/albef.py makes
Command   python -m vlp_jax.train --config=configs/transfer/vqa.py --workdir=runs/vqa
          python -m vlp_jax.evaluate --checkpoint=runs/vqa --output=runs/vqa/eval
Other     from random weights: --config.initialise.checkpoint=None
"""

from configs.evaluate import answering_scenes
from configs.scenes import albef


def get_config():
    config = albef.get_config()
    config.name = "vqa"
    config.batch_size = 256
    config.steps = 1000
    config.data.train.kind = config.contrasts.train.kind = None
    config.questions.train.kind = "digit_scenes"
    config.questions.update(length=20, answer_count=30)
    config.initialise.update(checkpoint="runs/albef", parts=None)

    for name in ("momentum_contrast", "matching", "masked_lm", "judging"):
        config.objectives[name].weight = 0.0
    config.objectives.answer_classes.weight = 1.0
    config.evaluation = answering_scenes.get_config()
    return config
