"""Towers by name. To add one, write models/<name>.py and a line here."""

from vlp_jax.models import sizes
from vlp_jax.models.text import TextTransformer
from vlp_jax.models.vit import ViT

IMAGE_TOWERS = {"vit": ViT}
TEXT_TOWERS = {"transformer": TextTransformer}

# What a tower's `size` stands for.
SIZES = {"vit": sizes.vit, "transformer": sizes.text}
