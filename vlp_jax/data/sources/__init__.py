"""Datasets by name. To add one, write data/sources/<kind>.py and a line here."""

from vlp_jax.data.sources.array_record import ArrayRecord
from vlp_jax.data.sources.digit_scenes import DigitScenes
from vlp_jax.data.sources.image_folder import ImageFolder
from vlp_jax.data.sources.parquet import Parquet
from vlp_jax.data.sources.webdataset import WebDataset

SOURCES = {
    "digit_scenes": DigitScenes,
    "image_folder": ImageFolder,
    "webdataset": WebDataset,
    "parquet": Parquet,
    "array_record": ArrayRecord,
}
