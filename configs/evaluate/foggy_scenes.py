"""Digit scenes in fog, which the quickstart's model has never seen.

Command   python -m vlp_jax.evaluate --checkpoint=runs/quickstart \\
              --config=configs/evaluate/foggy_scenes.py --output=runs/quickstart/foggy
"""

from vlp_jax import recipe

TEMPLATE = "a picture of a {}"


def get_config():
    config = recipe.evaluation()
    config.data.update(
        kind="digit_scenes",
        split="test",
        size=1000,
        digit_counts=(1,),
        style="foggy",
    )
    config.evaluators.zero_shot = recipe.evaluator("zero_shot", templates=(TEMPLATE,))
    return config
