"""The quickstart's evaluation, for any checkpoint: unseen digit scenes."""

from vlp_jax import recipe


def get_config():
    config = recipe.evaluation()
    config.evaluators.retrieval = recipe.evaluator(
        "retrieval", recipe.source("digit_scenes", split="test", size=500)
    )
    config.evaluators.zero_shot = recipe.evaluator(
        "zero_shot",
        recipe.source("digit_scenes", split="test", size=500, digit_counts=(1,)),
        templates="digit_scenes",
    )
    return config
