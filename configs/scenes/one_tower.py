"""One tower: CLIP in which pictures and texts go through one transformer.

Patches and words, norms and projections are each side's own, all blocks are shared.
Any recipe of two towers of one width, depth and number of heads becomes one of one
tower by --config.share_encoder=True.

Paper     You et al. 2022 (MS-CLIP), arXiv:2207.12661
Data      digit scenes: real handwritten digits with captions, made on the fly
Command   python -m vlp_jax.train --config=configs/scenes/one_tower.py \\
              --workdir=runs/one_tower
          python -m vlp_jax.evaluate --checkpoint=runs/one_tower \\
              --output=runs/one_tower/eval
"""

from configs import quickstart


def get_config():
    config = quickstart.get_config()
    config.name = "one_tower"
    config.model.image.update(width=128, depth=4, heads=4)
    config.model.text.update(width=128, depth=4, heads=4)
    config.share_encoder = True
    return config
