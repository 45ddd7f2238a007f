"""Datasets by name. To add one, write data/sources/<kind>.py and a line here."""

from vlp_jax.data.sources.array_record import ArrayRecord
from vlp_jax.data.sources.clip_benchmark import ClipBenchmark
from vlp_jax.data.sources.coco_captions import CocoCaptions
from vlp_jax.data.sources.digit_scenes import DigitScenes
from vlp_jax.data.sources.flickr30k import Flickr30k
from vlp_jax.data.sources.image_folder import ImageFolder
from vlp_jax.data.sources.imagenet import ImageNet
from vlp_jax.data.sources.lvis import Lvis
from vlp_jax.data.sources.parquet import Parquet
from vlp_jax.data.sources.sugar_crepe import SugarCrepe
from vlp_jax.data.sources.text_table import TextTable
from vlp_jax.data.sources.tfds import Tfds
from vlp_jax.data.sources.visual_genome import VisualGenome
from vlp_jax.data.sources.vqa_v2 import VQAv2
from vlp_jax.data.sources.webdataset import WebDataset
from vlp_jax.data.sources.winoground import Winoground

SOURCES = {
    "digit_scenes": DigitScenes,
    "image_folder": ImageFolder,
    "webdataset": WebDataset,
    "parquet": Parquet,
    "array_record": ArrayRecord,
    "tfds": Tfds,
    "coco_captions": CocoCaptions,
    "flickr30k": Flickr30k,
    "visual_genome": VisualGenome,
    "vqa_v2": VQAv2,
    "imagenet": ImageNet,
    "lvis": Lvis,
    "clip_benchmark": ClipBenchmark,
    "sugar_crepe": SugarCrepe,
    "winoground": Winoground,
    "text_table": TextTable,
}
