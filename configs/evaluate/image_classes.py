"""Zero-shot classification of your own pictures, sorted into one folder per class.

python -m vlp_jax.evaluate --checkpoint=W --config=configs/evaluate/image_classes.py \\
    --config.data.root=DIR --output=OUT

The folders' names are the class names. Other prompts, for example:
    --config.evaluators.zero_shot.templates="('a photo of a {}', 'a drawing of a {}')"
"""

from vlp_jax import recipe


def get_config():
    config = recipe.evaluation()
    config.data.kind = "image_folder"
    config.evaluators.zero_shot = recipe.evaluator("zero_shot")
    return config
