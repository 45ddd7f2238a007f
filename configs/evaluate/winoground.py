"""Winoground: two pictures, two captions of the same words (arXiv:2204.03162).

Data      DIR/examples.jsonl and DIR/images/*.png; where to get them stands in
          vlp_jax/data/sources/winoground.py
Evaluate  python -m vlp_jax.evaluate --checkpoint=W --output=OUT \\
              --config=configs/evaluate/winoground.py --config.data.root=DIR
"""

from vlp_jax import recipe


def get_config():
    config = recipe.evaluation()
    config.data.kind = "winoground"
    config.evaluators.winoground = recipe.evaluator("winoground")
    return config
