"""The settings a recipe starts from: every key exists, None means 'not given'.

ml_collections lets the command line change only keys that exist. So each place where
a kind is chosen carries the keywords of all its kinds, read off the builders in the
tables; what is left None keeps the builder's own default, and a keyword that is set
but that the chosen kind lacks is an error. No default stands in two places.
"""

from collections.abc import Callable, Mapping
from typing import Any

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder as not_given

from vlp_jax.data.sources import SOURCES
from vlp_jax.data.transforms.crop import RandomResizedCrop
from vlp_jax.data.transforms.image import Preprocessing
from vlp_jax.evaluation import EVALUATORS
from vlp_jax.models import MODELS, PARTS
from vlp_jax.objectives import OBJECTIVES
from vlp_jax.objectives.mixture import Schedule
from vlp_jax.open_settings import keywords
from vlp_jax.parallel.mesh import MeshSpec
from vlp_jax.settings import SECTIONS
from vlp_jax.training.optimizer import OPTIMIZERS
from vlp_jax.training.schedules import learning_rate
from vlp_jax.transfer.initialise import InitialWeights
from vlp_jax.transfer.lora import Lora


def block(table: Mapping[str, Callable], kind: str | None, **chosen: Any) -> ConfigDict:
    """Settings of one thing out of a table: its kind, then every keyword."""
    config = ConfigDict({"kind": not_given(str), **keywords(table)})
    config.update({"kind": kind, **chosen} if kind else chosen)
    return config


def part(name: str, kind: str | None = None) -> ConfigDict:
    """Settings of a part of a model; `size` names a set of them (models/sizes.py)."""
    config = block(PARTS[name], kind)
    config.size = not_given(str)
    return config


def source(kind: str | None = None, **chosen: Any) -> ConfigDict:
    """Settings of a data source."""
    return block(SOURCES, kind, **chosen)


def mixed(
    kind: str | None = None,
    weight: float | None = None,
    repeat: float | None = None,
    **chosen: Any,
) -> ConfigDict:
    """Settings of a source that training draws from, maybe beside others.

    weight: its share of the samples, up to a common factor. repeat: instead, how often
    it is read in one pass over everything. Neither: every sample once a pass.
    """
    config = source(kind, **chosen)
    config.weight, config.repeat = not_given(float), not_given(float)
    config.weight, config.repeat = weight, repeat
    return config


def dataset(kind: str, **chosen: Any) -> ConfigDict:
    """A data source alone, for the programs that look at data or rewrite them."""
    config = ConfigDict({"data": source(kind, **chosen)})
    return config.lock()


def evaluator(
    kind: str,
    data: ConfigDict | None = None,
    train: ConfigDict | None = None,
    **chosen: Any,
) -> ConfigDict:
    """Settings of an evaluator: what it looks at, and what it learns from if it does.

    Without `data` or `train` it uses the evaluation's own.
    """
    config = block(EVALUATORS, kind, **chosen)
    config.data = data or source()
    config.train = train or source()
    return config


def evaluation() -> ConfigDict:
    """Settings of an evaluation: evaluators by the name they report under."""
    config = ConfigDict(
        {
            "data": source(),  # for the evaluators that name none of their own
            "train": source(),  # the same, of those that learn from examples
            "evaluators": {},
            "batch_size": 256,
            "weights": "model",  # or 'ema', where the run keeps one
            "every": not_given(int),  # steps of training; None: only at the end
            "suite": False,  # data.root holds datasets: an evaluator each (suites.py)
        }
    )
    config.lock()  # a recipe that sets a key that does not exist is refused, too
    config.evaluators.unlock()
    return config


def training_data() -> dict[str, Any]:
    """What a run reads, in which order, and with how many hands."""
    return {
        "train": mixed(),
        "mixture": {},  # more sources by name, made with recipe.mixed
        "order": not_given(str),  # 'full' or 'blocks'; None: as suits the source
        "text_lengths": not_given(tuple),  # a batch is cut to the first that holds it
        "interleave": 16,  # blocks that are read side by side
        "log_samples": False,  # the ids of every batch, to W/samples.jsonl
        "crop": keywords(
            {"crop": RandomResizedCrop}, ("image_size", "interpolation", "decoder")
        ),
        "decoder": "fast",  # of JPEG files; 'pillow' for evaluation's own pixels
        "threads": 2,
        "workers": 0,  # processes with so many threads each; 0: threads of this one
        "max_bad_share": 0.1,
    }


def question_data() -> dict[str, Any]:
    """Questions about pictures that a run reads, beside the pairs or alone.

    They are read as `data` says: order, crop, decoder, threads.
    """
    return {
        "train": mixed(),  # without a kind, and without a mixture: none are read
        "mixture": {},
        "batch_size": not_given(int),  # None: that of the pairs
        "length": not_given(int),  # tokens of a question; None: tokenizer.length
        "answer_length": 8,  # tokens of an answer
        "answers": not_given(str),  # a text file, an answer that is a class a line
        "answer_count": 3129,  # without it: so many of the most frequent answers
    }


def contrast_data() -> dict[str, Any]:
    """Captions that are right or nearly so, beside the pairs or alone; read as `data`.

    Of any source whose examples have `negatives`.
    """
    return {"train": mixed(), "mixture": {}, "batch_size": not_given(int)}


def labelled_data() -> dict[str, Any]:
    """Pictures, or texts, each of which has a class; pictures are read as `data`."""
    return {
        "train": mixed(),
        "mixture": {},
        "batch_size": not_given(int),
        "shots": not_given(int),  # examples of each class, drawn by the seed; None: all
    }


def tokenizer() -> dict[str, Any]:
    """How texts become tokens."""
    return {
        "path": not_given(str),  # hub name or folder; None trains one on the texts
        "vocab_size": 8192,
        "train_samples": 20_000,
        "length": 77,
        "canonicalise": not_given(str),
        # A start token where there is none (GPT-2's); None: if the model writes texts.
        "add_start": not_given(bool),
    }


def transfer() -> dict[str, Any]:
    """What a run takes from another one, and what is learned of it or beside it."""
    return {
        "initialise": keywords({"initialise": InitialWeights}),
        "trainable": not_given(tuple),  # patterns of parameter paths; None: all train
        "layer_decay": not_given(float),  # of the learning rate, from layer to layer
        "prompts": {
            # Of a class; [v1], [v2], ... are learned words (core/class_prompts.py).
            "template": "a photo of a {}",
            "start": not_given(str),  # words that the learned ones begin as
            "merged": False,  # they are words of the tokenizer by now
        },
        "lora": keywords({"lora": Lora}),  # without patterns: none
        "share_encoder": False,  # one transformer for pictures and texts
    }


def checkpoints() -> dict[str, Any]:
    """When a run saves, and which of the steps stay on disk."""
    return {
        "every": 1000,
        "keep": 3,  # the newest ones
        "keep_every": not_given(int),  # multiples of it stay for ever
        "keep_best": not_given(str),  # a metric, as retrieval/image_retrieval_recall@5
    }


def pretraining() -> ConfigDict:
    """Settings of a training run; a recipe fills in what its paper says."""
    config = ConfigDict()
    config.name = not_given(str)
    config.seed = 0
    config.batch_size = 256  # of all devices together
    config.steps = not_given(int)
    config.epochs = not_given(float)  # instead of steps: passes over the data
    config.stop_after = not_given(int)  # stop early, schedules unchanged
    config.data = training_data()
    config.questions = question_data()
    config.contrasts = contrast_data()
    config.labels = labelled_data()
    config.texts = labelled_data()
    config.class_names = not_given(tuple)  # of both; None: those that the source names
    config.preprocessing = keywords({"preprocessing": Preprocessing}, ())
    config.tokenizer = tokenizer()
    config.model = block(MODELS, "two_tower")
    kinds = {"image": "vit", "text": "transformer"}
    for name in PARTS:
        config.model[name] = part(name, kinds.get(name))
    del config.model.image.image_size  # it is preprocessing.image_size
    config.objectives = {
        name: {
            "weight": 0.0,
            "schedule": keywords({"schedule": Schedule}),
            **keywords({name: builder}),
        }
        for name, builder in OBJECTIVES.items()
    }
    config.optimizer = block(OPTIMIZERS, "adamw")
    config.learning_rate = keywords({"schedule": learning_rate})
    config.bounds = {"logit_scale": (0.0, 4.6051702)}  # 1 <= s <= 100, as CLIP
    config.ema_decay = not_given(float)
    config.momentum_decay = 0.995  # of the parameters that some objectives learn from
    for name, value in transfer().items():
        config[name] = value
    config.mesh = keywords({"mesh": MeshSpec})
    config.zero = False  # optimizer state and moving average over all devices
    config.accumulation = 1  # micro-batches of a step; the loss sees them all at once
    config.log_every = 20
    config.wandb = {"project": not_given(str)}  # beside TensorBoard
    config.profile = {"first_step": not_given(int), "steps": 3}
    config.checkpoint = checkpoints()
    # So many steps in a row without a finite gradient lead back to earlier weights.
    config.nonfinite = {"in_a_row": 10, "rollbacks": 2}
    config.watchdog = 1800.0  # seconds that a step or its batch may take; 0: any
    config.evaluation = evaluation()
    config.lock()
    config.evaluation.evaluators.unlock()
    for section in SECTIONS.values():
        config[section].mixture.unlock()
    config.bounds.unlock()
    return config
