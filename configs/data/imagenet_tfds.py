"""ImageNet as TensorFlow Datasets prepares it.

Paper     Russakovsky et al. 2015, arXiv:1409.0575
Get it    ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar of https://image-net.org
          into ~/tensorflow_datasets/downloads/manual, then
          pip install tensorflow tensorflow-datasets importlib_resources
          tfds build imagenet2012 --file_format=array_record
          (TensorFlow is needed for this alone)
Evaluate  configs/evaluate/image_classes.py with --config.data.kind=tfds \\
              --config.data.name=imagenet2012 --config.data.split=validation
Others    imagenet_v2/matched-frequency, imagenet_a, imagenet_r, imagenet_sketch
Check     python -m vlp_jax.data_check --config=configs/data/imagenet_tfds.py
"""

from vlp_jax import recipe


def get_config():
    return recipe.dataset("tfds", name="imagenet2012")
