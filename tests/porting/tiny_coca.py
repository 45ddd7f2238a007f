"""Small CoCas of ours with random weights."""

from tests.porting.random_models import VIT, random_model
from vlp_jax.portable import Portable

SIZE = dict(width=16, depth=2, heads=2, activation="gelu")
IMAGE = VIT | {"activation": "gelu"}


def coca(image=None, text=None, fusion=None, **model) -> Portable:
    """The given settings of its parts in place of the usual ones."""
    usual = dict(kind="coca", embedding_size=16, queries=6, pooler_heads=4)
    return random_model(
        IMAGE | (image or {}),
        {"kind": "coca_text", **SIZE, **(text or {})},
        fusion={"kind": "coca", **SIZE, **(fusion or {})},
        **usual | model,
    )
