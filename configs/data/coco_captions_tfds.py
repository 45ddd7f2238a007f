"""COCO captions as TensorFlow Datasets prepares them (pictures of 2014).

Paper     Chen et al. 2015, arXiv:1504.00325
Get it    pip install tensorflow tensorflow-datasets importlib_resources
          tfds build coco_captions --file_format=array_record
          (TensorFlow is needed for this alone)
Train     any recipe with --config.data.train.kind=tfds \\
              --config.data.train.name=coco_captions
Splits    train, restval, val and test are Karpathy's; 'train+restval' joins two
Check     python -m vlp_jax.data_check --config=configs/data/coco_captions_tfds.py
"""

from vlp_jax import recipe


def get_config():
    return recipe.dataset("tfds", name="coco_captions")
