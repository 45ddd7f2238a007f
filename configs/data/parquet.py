"""Parquet files with the bytes of pictures, as Hugging Face datasets are stored.

Data      a column of pictures (bytes, or {bytes, path}) and one of captions; get the
          files of a set with `hf download NAME --repo-type=dataset --local-dir=DIR`
Command   python -m vlp_jax.prepare --config=configs/data/parquet.py \\
              --config.data.urls=DIR --output=SHARDS

Other columns: --config.data.image_column=jpg --config.data.caption_column=text. Needs
`pip install pyarrow`. Training can read them directly; shards are faster.
"""

from vlp_jax import recipe


def get_config():
    return recipe.dataset("parquet")
