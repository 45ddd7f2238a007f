"""Conceptual Captions (CC3M), as img2dataset leaves it.

Paper     Sharma et al. 2018, aclanthology.org/P18-1238: 3.3 M pictures
Get it    Train_GCC-training.tsv (500 MB) from
          https://ai.google.com/research/ConceptualCaptions/download, saved as cc3m.tsv
          sed -i '1s/^/caption\\turl\\n/' cc3m.tsv
          pip install img2dataset
          img2dataset --url_list=cc3m.tsv --input_format=tsv --url_col=url \\
              --caption_col=caption --output_format=webdataset \\
              --output_folder=data/cc3m --image_size=256 \\
              --processes_count=16 --thread_count=64
          Its authors name one hour; many links are dead by now.
Check     python -m vlp_jax.data_check --config=configs/data/conceptual_captions.py
"""

from vlp_jax import recipe


def get_config():
    return recipe.dataset("webdataset", urls="data/cc3m")
