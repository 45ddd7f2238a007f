"""VQA v2: 1.1 M questions about COCO's pictures, ten answers each.

Paper     Goyal et al. 2017, arXiv:1612.00837
Get it    https://visualqa.org/download.html (questions and annotations), and COCO's
          pictures of 2014 (or 2017) and, for the tests, of 2015
Layout    data/vqa/{train2014,val2014,test2015}/*.jpg, data/vqa/v2_*.json
Splits    train, val, test, test-dev; 'train+val' joins two
Check     python -m vlp_jax.data_check --config=configs/data/vqa_v2.py
"""

from vlp_jax import recipe


def get_config():
    return recipe.dataset("vqa_v2", root="data/vqa")
