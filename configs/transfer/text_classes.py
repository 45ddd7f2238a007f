"""Classes of texts: does a text tower that has seen pictures know more about words?

The text tower of a CLIP learns to tell big from small in forty texts, which only say
'big' and 'small'; the test says 'large', 'little' and 'tiny'. Whoever knows texts alone
has to guess what these mean. The tower has seen pictures of what they name.

Data      configs/transfer/size_words, a CSV of text and label, as your own may be:
          --config.texts.train.root=FILE.csv (config.evaluation.data.root the same)
Start     bash launch/quickstart.sh    # trains the text tower, in runs/quickstart
Command   python -m vlp_jax.train --config=configs/transfer/text_classes.py \\
              --workdir=runs/text_classes
          python -m vlp_jax.evaluate --checkpoint=runs/text_classes \\
              --output=runs/text_classes/eval
Other     the head alone (linear probe): --config.trainable="('^class_head/',)"
          the same tower from scratch: --config.initialise.checkpoint=None \\
              --config.initialise.parts=None
"""

from configs import quickstart
from vlp_jax import recipe


def get_config():
    config = quickstart.get_config()
    config.name = "text_classes"
    config.batch_size = 40
    config.steps = 100

    config.data.train.kind = None
    config.texts.train.update(
        kind="text_table", root="configs/transfer/size_words/train.csv"
    )
    config.model.update(kind="text_classifier", embedding_size=None)
    config.model.image.kind = None
    del config.bounds.logit_scale
    config.initialise.update(checkpoint="runs/quickstart", parts=("^text/",))
    config.layer_decay = 0.75

    config.objectives.contrastive.weight = 0.0
    config.objectives.classification.update(weight=1.0, stream="texts")
    config.learning_rate.update(peak=1e-3, warmup_steps=10)

    config.evaluation = recipe.evaluation()
    config.evaluation.data.update(
        kind="text_table", root="configs/transfer/size_words/test.csv"
    )
    config.evaluation.evaluators.classification = recipe.evaluator("classification")
    return config
