"""configs/transfer/captioner.py for the tower of tiny.py; seconds on one CPU."""

from configs.transfer import captioner
from tests.end_to_end import tiny
from vlp_jax import recipe


def get_config():
    config = tiny.get_config()
    shipped = captioner.get_config().copy_and_resolve_references()
    config.name = "tiny_captioner"
    config.seed = 1
    config.steps = 10
    config.tokenizer.vocab_size = 280  # nothing of the first run's texts is needed

    config.model.update(kind=shipped.model.kind, embedding_size=None)
    config.model.text.kind = None
    config.model.decoder.update(kind="gpt2", width=16, depth=1, heads=2)
    config.initialise.parts = tuple(shipped.initialise.parts)
    config.trainable = tuple(shipped.trainable)
    del config.bounds.logit_scale
    for name in ("contrastive", "captioning"):
        config.objectives[name].weight = shipped.objectives[name].weight

    config.evaluation = recipe.evaluation()
    config.evaluation.update(batch_size=8, every=10)
    config.evaluation.evaluators.captioning = recipe.evaluator(
        "captioning",
        recipe.source("digit_scenes", split="test", size=8, canvas=24),
        max_length=8,
    )
    return config
