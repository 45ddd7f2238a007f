"""Does a caption fit a picture? The head that matches, on SugarCrepe's captions.

Data      as of configs/evaluate/sugar_crepe.py: DIR/add_obj.json and its six sisters,
          DIR/val2017/*.jpg
Evaluate  python -m vlp_jax.evaluate --checkpoint=W --output=OUT \\
              --config=configs/evaluate/matching.py --config.data.root=DIR
Needs     a model that matches: of kind albef, vilt or blip

Half of the pairs are right; accuracy at an even chance, and the area under the curve.
Any source whose examples have `negatives` will do. As a monitor of a training run:
    config.evaluation.evaluators.matching = recipe.evaluator(
        "matching", recipe.source("digit_scenes", split="test", size=500))
"""

from vlp_jax import recipe
from vlp_jax.data.sources.sugar_crepe import SPLITS


def get_config():
    config = recipe.evaluation()
    config.data.kind = "sugar_crepe"
    for split in SPLITS:
        evaluator = recipe.evaluator(
            "matching", recipe.source("sugar_crepe", split=split)
        )
        evaluator.data.root = config.data.get_oneway_ref("root")
        config.evaluators[split] = evaluator
    return config
