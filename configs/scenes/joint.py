"""Masked words, matching, contrast and questions about digit scenes, in one step.

Paper     see configs/pretrain/joint_mlm_itm_vqa.py, its full size
Data      digit scenes: captions and questions, each with a batch of its own
Start     the quickstart's image tower (bash launch/quickstart.sh), as albef.py has it
Command   python -m vlp_jax.train --config=configs/scenes/joint.py --workdir=runs/joint
          python -m vlp_jax.evaluate --checkpoint=runs/joint --output=runs/joint/eval
"""

from configs.evaluate import answering_scenes
from configs.scenes import albef


def get_config():
    config = albef.get_config()
    config.name = "joint_scenes"
    config.contrasts.train.kind, config.objectives.judging.weight = None, 0.0
    config.questions.train.kind = "digit_scenes"
    config.questions.update(batch_size=128, length=12, answer_count=30)
    config.objectives.answer_classes.weight = 1.0

    config.evaluation.evaluators.vqa = answering_scenes.get_config().evaluators.vqa
    return config
