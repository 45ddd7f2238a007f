"""Digit scenes, the data that come along, by themselves: 48 pixels, five captions each.

Data      scikit-learn's digits, painted; one digit a scene gives labels
Check     python -m vlp_jax.data_check --config=configs/data/digit_scenes.py
Features  python -m vlp_jax.extract --checkpoint=runs/quickstart \\
              --config=configs/data/digit_scenes.py --output=features/train \\
              --config.data.size=2000 --config.data.digit_counts="(1,)"

The unseen ones: --config.data.split=test --config.data.size=500.
"""

from vlp_jax import recipe


def get_config():
    return recipe.dataset("digit_scenes", split="train")
