"""LiT: a fresh text tower learns to read an image tower that is locked.

Paper     Zhai et al. 2022, arXiv:2111.07991 (its setting Lu). There the image tower is
          a classifier's; here it is that of the quickstart's CLIP, projection included
Data      digit scenes
Command   bash launch/quickstart.sh    # trains the image tower, in runs/quickstart
          python -m vlp_jax.train --config=configs/transfer/lit.py --workdir=runs/lit
Other     LiT is the last two settings below, on any recipe whose image tower is the
          checkpoint's; docs/systems.md has the command for CLIP ViT-B/32
Expected  image and text retrieval recall@5 1.000 and 0.976, zero-shot `acc1` 0.958 on
          the quickstart's test scenes (seed 0)
Size      2.2 M parameters, of which 0.3 M train; 300 steps, minutes on two CPU cores
"""

from configs import quickstart


def get_config():
    config = quickstart.get_config()
    config.name = "lit"
    config.steps = 300

    config.initialise.update(checkpoint="runs/quickstart", parts=("^image",))
    config.trainable = ("^text", "^logit")
    return config
