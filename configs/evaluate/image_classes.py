"""Zero-shot classification of your own pictures, sorted into one folder per class.

python -m vlp_jax.evaluate --checkpoint=W --config=configs/evaluate/image_classes.py \\
    --config.data.root=DIR --output=OUT

The folders' names are the class names. Others, for the folders in sorted order: a set
of vlp_jax/data/assets/classes.json, a text file with a name a line, or the names:
    --config.data.class_names=food101        (or names.txt, or "('cat', 'dog')")
Prompts likewise, of vlp_jax/evaluation/assets/templates.json; '{}' is the class:
    --config.evaluators.zero_shot.templates=food101
    --config.evaluators.zero_shot.templates="('a photo of a {}', 'a drawing of a {}')"
"""

from vlp_jax import recipe


def get_config():
    config = recipe.evaluation()
    config.data.kind = "image_folder"
    config.evaluators.zero_shot = recipe.evaluator("zero_shot")
    return config
