"""SugarCrepe: a caption or the same with one thing wrong? (arXiv:2306.14610)

Data      DIR/add_obj.json and its six sisters, DIR/val2017/*.jpg; where to get them
          stands in vlp_jax/data/sources/sugar_crepe.py
Evaluate  python -m vlp_jax.evaluate --checkpoint=W --output=OUT \\
              --config=configs/evaluate/sugar_crepe.py --config.data.root=DIR
"""

from vlp_jax import recipe
from vlp_jax.data.sources.sugar_crepe import SPLITS


def get_config():
    config = recipe.evaluation()
    config.data.kind = "sugar_crepe"
    for split in SPLITS:
        evaluator = recipe.evaluator(
            "hard_negatives", recipe.source("sugar_crepe", split=split)
        )
        evaluator.data.root = config.data.get_oneway_ref("root")
        config.evaluators[split] = evaluator
    return config
