"""Flickr30k: 31,014 pictures in Karpathy's splits, five captions each.

Paper     Young et al. 2014, TACL 2:67-78
Get it    the pictures by the form of https://shannon.cs.illinois.edu/DenotationGraph,
          dataset_flickr30k.json of
          https://cs.stanford.edu/people/karpathy/deepimagesent/caption_datasets.zip
Layout    data/flickr30k/flickr30k-images/*.jpg, data/flickr30k/dataset_flickr30k.json
Train     any recipe with --config.data.train.kind=flickr30k \\
              --config.data.train.root=data/flickr30k
Evaluate  configs/evaluate/image_folder.py with --config.data.kind=flickr30k \\
              --config.data.root=data/flickr30k --config.data.split=test
Check     python -m vlp_jax.data_check --config=configs/data/flickr30k.py
"""

from vlp_jax import recipe


def get_config():
    return recipe.dataset("flickr30k", root="data/flickr30k")
