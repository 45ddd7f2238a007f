"""Retrieval in a new domain: a pretrained CLIP goes on with its own loss there.

The contrast of pretraining is the loss of retrieval too; what changes are the data, a
short schedule at a low rate, and layer decay.

Data      digit scenes in fog with their captions; of your own a folder of pictures and
          a CSV: --config.data.train.kind=image_folder --config.data.train.root=DIR
              --config.data.train.captions=captions.csv --config.data.train.style=None
          and config.evaluation.data likewise, its split and size None as well
Start     bash launch/quickstart.sh    # trains the model, in runs/quickstart
Command   python -m vlp_jax.train --config=configs/transfer/retrieval.py \\
              --workdir=runs/retrieval
          python -m vlp_jax.evaluate --checkpoint=runs/retrieval \\
              --output=runs/retrieval/eval
"""

from configs import quickstart
from vlp_jax import recipe


def get_config():
    config = quickstart.get_config()
    config.name = "retrieval"
    config.steps = 150
    config.data.train.style = "foggy"
    config.initialise.checkpoint = "runs/quickstart"
    config.layer_decay = 0.75
    config.learning_rate.update(peak=5e-4, warmup_steps=20)

    config.evaluation = recipe.evaluation()
    config.evaluation.data.update(
        kind="digit_scenes", split="test", size=500, style="foggy"
    )
    config.evaluation.evaluators.retrieval = recipe.evaluator("retrieval")
    return config
