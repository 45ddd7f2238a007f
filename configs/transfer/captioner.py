"""Image to text by transfer: a decoder learns to write about a locked image tower.

Model     the quickstart's image tower, and a small GPT-2 that looks at its tokens, as
          transformers' VisionEncoderDecoderModel joins a ViT and a GPT-2
Data      digit scenes
Command   bash launch/quickstart.sh    # trains the image tower, in runs/quickstart
          python -m vlp_jax.train --config=configs/transfer/captioner.py \\
              --workdir=runs/captioner
Then      all of it is tuned, at a small rate:
          python -m vlp_jax.train --config=configs/transfer/captioner.py \\
              --workdir=runs/captioner_tuned --config.steps=300 \\
              --config.initialise.checkpoint=runs/captioner \\
              --config.initialise.parts="('.',)" --config.trainable="('.',)" \\
              --config.learning_rate.peak=1e-4
Other     model.decoder.kind: gpt2, bert; with a published GPT-2 as the decoder its
          tokenizer, tokenizer.path=openai-community/gpt2
Expected  captions of unseen scenes that are right (`exact`) 0.825, CIDEr 3.52; tuned
          0.865 and 3.52 (200 scenes, seed 0)
Size      2.3 M parameters, of which 0.4 M train
"""

from configs import quickstart
from vlp_jax import recipe


def get_config():
    config = quickstart.get_config()
    config.name = "captioner"
    config.steps = 1000

    config.model.update(kind="captioner", embedding_size=None)
    config.model.decoder.update(kind="gpt2", width=96, depth=2, heads=4)
    config.model.text.kind = None  # the decoder reads and writes
    del config.bounds.logit_scale
    config.initialise.update(checkpoint="runs/quickstart", parts=("^image/",))
    config.trainable = ("^decoder/", "^context_projection/")

    config.objectives.contrastive.weight = 0.0
    config.objectives.captioning.update(weight=1.0, label_smoothing=0.0)

    config.evaluation = recipe.evaluation()
    config.evaluation.evaluators.captioning = recipe.evaluator(
        "captioning",
        recipe.source("digit_scenes", split="test", size=200),
        max_length=30,
    )
    config.evaluation.every = 250
    return config
