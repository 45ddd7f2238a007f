"""Unseen digit scenes, for models that answer questions.

python -m vlp_jax.evaluate --checkpoint=runs/vqa --output=OUT \\
    --config=configs/evaluate/answering_scenes.py
"""

from vlp_jax import recipe


def get_config():
    config = recipe.evaluation()
    config.data.update(kind="digit_scenes", split="test", size=500)
    config.evaluators.vqa = recipe.evaluator("vqa")
    return config
