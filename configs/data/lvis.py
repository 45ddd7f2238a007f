"""LVIS v1: 1.27 M objects of 1,203 classes on 100,170 pictures of COCO (train).

Paper     Gupta et al. 2019, arXiv:1908.03195
Get it    https://www.lvisdataset.org/dataset (lvis_v1_train.json.zip, lvis_v1_val.json
          .zip) and COCO's train2017.zip, val2017.zip (https://cocodataset.org/#download)
Layout    data/coco/{train2017,val2017}/*.jpg, data/coco/lvis_v1_train.json
Masks     --config.data.masks=True; captions are those of the classes in a picture
Check     python -m vlp_jax.data_check --config=configs/data/lvis.py
"""

from vlp_jax import recipe


def get_config():
    return recipe.dataset("lvis", root="data/coco")
