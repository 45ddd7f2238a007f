"""Tar shards in webdataset's layout, by whatever tool they were made.

Data      key.jpg (png, webp, ...) with key.txt or key.json beside it, read as they are
Check     python -m vlp_jax.data_check --config=configs/data/webdataset.py \\
              --config.data.urls='DIR/{00000..00331}.tar'
Train     any recipe with --config.data.train.kind=webdataset \\
              --config.data.train.urls='DIR/{00000..00331}.tar'

Captions are json.captions, txt or json.caption, the first of these that a sample has;
--config.data.captions="('txt', 'json.alt')" takes all the fields that it names.
"""

from vlp_jax import recipe


def get_config():
    return recipe.dataset("webdataset")
