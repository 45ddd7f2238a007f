"""COCO captions: 123,287 pictures with five captions each.

Paper     Chen et al. 2015, arXiv:1504.00325
Get it    https://cocodataset.org/#download (train2017.zip, val2017.zip,
          annotations_trainval2017.zip) and, for Karpathy's splits, dataset_coco.json of
          https://cs.stanford.edu/people/karpathy/deepimagesent/caption_datasets.zip
Layout    data/coco/{train2017,val2017,annotations}/, data/coco/dataset_coco.json
Train     any recipe with --config.data.train.kind=coco_captions \\
              --config.data.train.root=data/coco --config.data.train.split=train+restval
Evaluate  configs/evaluate/image_folder.py with --config.data.kind=coco_captions \\
              --config.data.root=data/coco --config.data.split=test
Check     python -m vlp_jax.data_check --config=configs/data/coco_captions.py
"""

from vlp_jax import recipe


def get_config():
    return recipe.dataset("coco_captions", root="data/coco")
