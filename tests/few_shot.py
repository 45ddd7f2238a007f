"""The strategies of configs/transfer on a run of tiny.py: what they add to a recipe."""

from ml_collections import ConfigDict

from tests.recipes import changed, tiny

CONTEXT = "[v1] [v2] {}"


def labelled(checkpoint, **settings) -> ConfigDict:
    """tiny.py on two pictures of each digit, from a checkpoint of it."""
    config = tiny(
        steps=3,
        batch_size=8,
        ema_decay=None,
        data__train__kind=None,
        labels__shots=2,
        initialise__checkpoint=str(checkpoint),
        prompts__template="a big {}",
        objectives__contrastive__weight=0.0,
        objectives__classification__weight=1.0,
        optimizer__weight_decay=0.0,
        learning_rate__warmup_steps=0,
        evaluation__every=None,
        evaluation__batch_size=8,
    )
    config.labels.train.update(
        kind="digit_scenes", size=200, canvas=24, digit_counts=(1,)
    )
    del config.evaluation.evaluators.retrieval
    if "model__kind" in settings:  # which has no scale
        del config.bounds.logit_scale
    return changed(config, **settings)


HEAD = dict(model__kind="image_classifier", model__embedding_size=None)
LORA = dict(lora__patterns=("^image/.*(query|value)/kernel$",), lora__rank=2)
PROMPTS = dict(model__image__prompts=3, trainable=("prompts$",))
# name -> settings; which parameters train is what `trainable` says.
STRATEGIES = {
    "full": {},
    "head": dict(**HEAD, trainable=("^class_head/",)),
    "locked_tower": dict(trainable=("^text", "^logit")),
    "last_block": dict(trainable=("^image/encoder/block_0/", "^image/norm_post")),
    "bias": dict(trainable=("/bias$",)),
    "coop": dict(prompts__template=CONTEXT, trainable=("^adapters/context$",)),
    "own_context": dict(
        prompts__template="[c1] {} [c2]", trainable=("^adapters/context$",)
    ),
    "cocoop": dict(
        prompts__template=CONTEXT,
        model__conditional_prompts=True,
        trainable=("^adapters/context$", "^meta_net/"),
    ),
    "vpt": PROMPTS,
    "deep_vpt": dict(**PROMPTS, model__image__deep_prompts=True),
    "lora": dict(**LORA, trainable=("^adapters/lora/",)),
}
