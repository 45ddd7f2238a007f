"""Conceptual 12M, as img2dataset leaves it.

Paper     Changpinyo et al. 2021, arXiv:2102.08981: 12.4 M pictures with their alt-texts
Get it    wget https://storage.googleapis.com/conceptual_12m/cc12m.tsv        (2.6 GB)
          sed -i '1s/^/url\\tcaption\\n/' cc12m.tsv
          pip install img2dataset
          img2dataset --url_list=cc12m.tsv --input_format=tsv --url_col=url \\
              --caption_col=caption --output_format=webdataset \\
              --output_folder=data/cc12m --image_size=256 \\
              --processes_count=16 --thread_count=64
          Its authors name 331 GB and five hours; many links are dead by now.
Check     python -m vlp_jax.data_check --config=configs/data/cc12m.py
"""

from vlp_jax import recipe


def get_config():
    return recipe.dataset("webdataset", urls="data/cc12m")
