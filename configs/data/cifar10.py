"""CIFAR-10: 60,000 pictures of 32 x 32 pixels in ten classes, from TFDS.

Paper     Krizhevsky 2009, Learning multiple layers of features from tiny images
Get it    pip install tensorflow tensorflow-datasets importlib_resources
          tfds build cifar10 --file_format=array_record
          (TensorFlow is needed for this alone)
Evaluate  configs/evaluate/image_classes.py with --config.data.kind=tfds \\
              --config.data.name=cifar10 --config.data.split=test
          with CLIP's 18 prompts of this set, unless evaluators.zero_shot.templates
          says otherwise; other names for the classes: --config.data.class_names=FILE
Check     python -m vlp_jax.data_check --config=configs/data/cifar10.py
"""

from vlp_jax import recipe


def get_config():
    return recipe.dataset("tfds", name="cifar10")
