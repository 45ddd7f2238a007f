"""LiT: a text tower learns to read a locked image tower.

Paper     Zhai et al. 2022, arXiv:2111.07991
Data      digit scenes; any other with --config.data.train...
Command   bash launch/quickstart.sh    # trains runs/quickstart, the locked tower here
          python -m vlp_jax.train --config=configs/transfer/lit.py --workdir=runs/lit
"""

from configs import quickstart


def get_config():
    config = quickstart.get_config()
    config.name = "lit"
    config.steps = 300

    config.initialise.update(checkpoint="runs/quickstart", parts=("^image",))
    config.trainable = ("^text", "^logit")
    return config
