"""Unseen digit scenes, for models that write captions.

python -m vlp_jax.evaluate --checkpoint=runs/captioner --output=OUT \\
    --config=configs/evaluate/captioning_scenes.py

`exact` is the share of captions that name every digit and colour, and nothing else.
"""

from vlp_jax import recipe


def get_config():
    config = recipe.evaluation()
    config.data.update(kind="digit_scenes", split="test", size=500)
    config.evaluators.captioning = recipe.evaluator("captioning")
    return config
