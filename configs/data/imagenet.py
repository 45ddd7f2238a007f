"""ImageNet (ILSVRC 2012): 1.28 M pictures of 1,000 classes, 50,000 to validate.

Paper     Russakovsky et al. 2015, arXiv:1409.0575
Get it    https://image-net.org/download-images or Kaggle's 'ImageNet Object
          Localization Challenge' (an account is needed for either)
Layout    data/imagenet/train/n01440764/*.JPEG, data/imagenet/val/ in such folders or
          flat, with LOC_val_solution.csv or ILSVRC2012_devkit_t12/ beside it
Evaluate  configs/evaluate/image_classes.py with --config.data.kind=imagenet \\
              --config.data.root=data/imagenet --config.data.split=val
Check     python -m vlp_jax.data_check --config=configs/data/imagenet.py
"""

from vlp_jax import recipe


def get_config():
    return recipe.dataset("imagenet", root="data/imagenet")
