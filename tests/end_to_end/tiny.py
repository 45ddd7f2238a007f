"""The smallest recipe that exercises every part of a run; seconds on one CPU."""

from vlp_jax import recipe


def get_config():
    config = recipe.pretraining()
    config.name = "tiny"
    config.batch_size = 16
    config.steps = 40
    config.ema_decay = 0.9

    config.data.train.update(kind="digit_scenes", size=512, canvas=24)
    config.preprocessing.image_size = 24
    config.tokenizer.update(vocab_size=300, length=24, train_samples=64)

    config.model.embedding_size = 32
    config.model.image.update(patch_size=12, width=32, depth=1, heads=2)
    config.model.text.update(width=32, depth=1, heads=2)

    config.objectives.contrastive.weight = 1.0
    config.learning_rate.update(peak=1e-3, warmup_steps=5)
    config.log_every = 3
    config.checkpoint.update(every=5, keep=3)

    config.evaluation.batch_size = 32
    config.evaluation.every = 10
    config.evaluation.evaluators.retrieval = recipe.evaluator(
        "retrieval",
        recipe.source("digit_scenes", split="test", size=24, canvas=24),
        gallery=2,
    )
    return config
