"""Masked words, matching and questions learned together, in any mix.

Papers    no single one: the objectives of ALBEF (Li et al. 2021, arXiv:2107.07651), on
          its model, with questions (VQA, arXiv:1505.00468) beside them
Data      pairs from a folder of your own pictures and a captions table, questions from
          VQA v2 (docs/data.md); each stream has its own batch
Command   python -m vlp_jax.train --config=configs/pretrain/joint_mlm_itm_vqa.py \\
              --workdir=runs/joint --config.data.train.root=DIR \\
              --config.data.train.captions=captions.tsv
Mix       config.objectives.NAME.weight and .schedule (.start_step, .ramp_steps,
          .end_step); here questions join in after the first 10,000 steps
Small     configs/scenes/joint.py, on two cores
Size      that of albef_vit_b16, and 6 M for the answers; not trained here
"""

from configs.pretrain import albef_vit_b16


def get_config():
    config = albef_vit_b16.get_config()
    config.name = "joint_mlm_itm_vqa"
    config.steps = 400_000
    config.questions.train.update(kind="vqa_v2", root="data/vqa", split="train")
    config.questions.update(batch_size=256)

    config.objectives.answer_classes.weight = 1.0
    config.objectives.answer_classes.schedule.update(start_step=10_000, ramp_steps=5000)
    return config
