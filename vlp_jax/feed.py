"""What a stream of a run reads: its sources, their order, and the batches they give."""

import contextlib
import math
import zlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from ml_collections import ConfigDict

from vlp_jax import build, recipe
from vlp_jax.core.errors import BadSample, ConfigError
from vlp_jax.core.lookup import lookup
from vlp_jax.core.types import Source
from vlp_jax.data.contrasts import ContrastSamples
from vlp_jax.data.fingerprint import digest
from vlp_jax.data.labels import FewShots, LabelledPictures, LabelledTexts
from vlp_jax.data.loader import HostBatch, Loader
from vlp_jax.data.mixture import Mixture
from vlp_jax.data.order import BlockOrder, MixedOrder, Order
from vlp_jax.data.pairs import PairSamples
from vlp_jax.data.questions import QuestionSamples
from vlp_jax.data.samples import Samples
from vlp_jax.data.sources import SOURCES
from vlp_jax.data.tokenizers import Tokenizer
from vlp_jax.data.transforms.crop import RandomResizedCrop
from vlp_jax.data.transforms.image import Preprocessing
from vlp_jax.parallel.sharding import Share
from vlp_jax.settings import LABELLED, SECTIONS, stream_sizes

SAMPLES: dict[str, Callable[..., Samples]] = {
    "pairs": PairSamples,
    "questions": QuestionSamples,
    "contrasts": ContrastSamples,
    "labels": LabelledPictures,
    "texts": LabelledTexts,
}
SHARES = ("weight", "repeat")  # of a block: how often it is read, not what it is


class Feed:
    """The training data of a stream of a config.

    `source` is the one source, or the Mixture of them; `order` says which of its
    samples stands where; `pass_size` is the number of samples in one pass over all.
    """

    def __init__(self, config: ConfigDict, stream: str = "pairs"):
        self.stream, self.section = stream, SECTIONS[stream]
        self.config, self.chosen = config.data, config[self.section]
        self.whole, self.seed = config, seed_of(config.seed, stream)
        blocks = self._blocks()
        sources = {
            name: build.pick(SOURCES, _without_shares(block), where)
            for where, name, block in blocks
        }
        shares = {name: _share(where, block) for where, name, block in blocks}
        if len(sources) == 1:
            self.source: Source = self._few(next(iter(sources.values())))
            self.order = order_of(self.source, self.config, self.seed)
            self.pass_size = round(len(self.source) * (_only(shares)[1] or 1))
            return
        if self.chosen.get("shots") is not None:
            raise ConfigError(
                f"{self.section}.shots takes its examples from one source; leave out "
                f"{self.section}.mixture"
            )
        self.source = Mixture(sources)
        self._mix(sources, shares)

    def _few(self, source: Source) -> Source:
        """The source, or so many of its examples a class where that is wanted."""
        shots = self.chosen.get("shots")
        if shots is None:
            return source
        names = tuple(self.whole.class_names or source.class_names)
        return FewShots(source, shots, self.whole.seed, names)

    def _blocks(self) -> list[tuple[str, str, ConfigDict]]:
        """(where it is set, its name, its settings) of every source."""
        section, train = self.section, self.chosen.train
        blocks = [
            (f"{section}.mixture.{name}", name, block)
            for name, block in self.chosen.mixture.items()
        ]
        if train.kind is not None and "train" in self.chosen.mixture:
            raise ConfigError(
                f"{section}.mixture has a source 'train' beside {section}.train; name "
                "it otherwise"
            )
        if train.kind is not None or not blocks:
            blocks.insert(0, (f"{section}.train", "train", train))
        return blocks

    def _mix(self, sources: dict[str, Source], shares: dict[str, tuple]) -> None:
        weights = {name: weight for name, (weight, _) in shares.items()}
        repeats = {name: repeat or 1 for name, (_, repeat) in shares.items()}
        self.pass_size = round(sum(len(s) * repeats[n] for n, s in sources.items()))
        given = [name for name, weight in weights.items() if weight is not None]
        in_blocks = any(reads_blocks(s, self.config.order) for s in sources.values())
        if not given and set(repeats.values()) == {1} and not in_blocks:
            self.order = Order(len(self.source), self.seed)  # every sample once a pass
            return
        if given and len(given) < len(weights):
            open_ones = ", ".join(n for n in weights if n not in given)
            raise ConfigError(
                f"the sources {', '.join(given)} have a weight and {open_ones} have "
                "none; give every source of the mixture one, or none of them"
            )
        if not given:
            weights = {n: len(s) * repeats[n] for n, s in sources.items()}
        orders = [
            order_of(source, self.config, (self.seed + 104_729 * number) % 2**32)
            for number, source in enumerate(sources.values())
        ]
        self.order = MixedOrder(orders, list(weights.values()), self.seed)

    def samples(
        self,
        preprocessing: Preprocessing,
        tokenizer: Tokenizer,
        classes: Sequence[str] = (),
    ) -> Samples:
        """The samples by position, as the model gets them.

        classes: the answers that are classes, for questions.
        """
        images = build.training_images(self.config, preprocessing)
        common, more = (self.source, self.order, images), {}
        if self.stream == "questions":
            answers = tokenizer.with_length(self.chosen.answer_length)
            more = {"tokenize_answer": answers, "classes": classes}
            tokenizer = tokenizer.with_length(self.chosen.length or tokenizer.length)
        if self.stream in LABELLED:
            names = self.whole.class_names or self.source.class_names
            more = {"classes": len(names)}
        return SAMPLES[self.stream](*common, tokenizer, self.seed, **more)

    def batches(
        self, samples: Samples, batch_size: int, share: Share, first_step: int
    ) -> Iterator[HostBatch]:
        """Host batches from a step on."""
        data = self.config
        loader = Loader(
            samples, batch_size, data.threads, share, self.stream, data.workers
        )
        return loader.batches(first_step)

    @property
    def fingerprint(self) -> dict:
        """What a checkpoint keeps of the data, to know them again."""
        parts = dict(self.source.fingerprint)
        orders = getattr(self.order, "orders", (self.order,))
        kinds = [type(order).__name__ for order in orders]
        parts["order"] = digest(kinds, list(parts))  # the same parts, in another one
        return {"samples": len(self.source), "parts": parts}


def seed_of(seed: int, stream: str) -> int:
    """Streams that read the same source see it in different orders."""
    return seed if stream == "pairs" else (seed + zlib.crc32(stream.encode())) % 2**32


def reads_blocks(source: Source, wanted: str | None) -> bool:
    """Whether a source is read in sequence: as data.order has it, or as suits it."""
    kinds = {"full": False, "blocks": True, None: getattr(source, "remote", False)}
    return lookup(kinds, wanted, "data.order")


def order_of(source: Source, data: ConfigDict, seed: int) -> Order | BlockOrder:
    """The order of one source; `data` has the settings order and interleave."""
    if not reads_blocks(source, data.order):
        return Order(len(source), seed)
    blocks = getattr(source, "blocks", None)
    if blocks is None:
        raise ConfigError(
            f"data.order is 'blocks', but {source.name} has no shards to read one "
            "after the other; use 'full'"
        )
    return BlockOrder(blocks, seed, data.interleave)


def _only(shares: dict):
    return next(iter(shares.values()))


def _without_shares(block: ConfigDict) -> ConfigDict:
    return ConfigDict({k: v for k, v in block.items() if k not in SHARES})


def _share(where: str, block: ConfigDict) -> tuple[float | None, float | None]:
    """(weight, repeat), of which one source may have one."""
    weight, repeat = block.get("weight"), block.get("repeat")
    if weight is not None and repeat is not None:
        raise ConfigError(
            f"{where} has both a weight ({weight}) and a repeat ({repeat}); give one"
        )
    for name, value in (("weight", weight), ("repeat", repeat)):
        if value is not None and not 0 < value < math.inf:
            raise ConfigError(f"{where}.{name} is {value}; expected a positive number")
    return weight, repeat


def steps_of(config: ConfigDict, pass_size: int) -> int | None:
    """config.steps, or the steps in which config.epochs passes are made.

    pass_size: samples in a pass over the first stream, the pairs where there are any.
    """
    if config.epochs is None:
        return config.steps
    if not 0 < config.epochs < math.inf:
        raise ConfigError(f"epochs is {config.epochs}; expected a positive number")
    rows = next(iter(stream_sizes(config).values()))
    return max(1, round(config.epochs * pass_size / rows))


class NoText:
    """In place of a tokenizer, where only pictures matter."""

    length = 1

    def __call__(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros((len(texts), 1), np.int32), np.ones((len(texts), 1), bool)

    def with_length(self, length: int) -> "NoText":
        return self


no_text = NoText()


def plain_samples(source: Source) -> Samples:
    """The samples of a source without a recipe: the usual crop, and no tokens.

    Those of a source whose first sample has but questions are questions.
    """
    common = source, order_of(source, recipe.pretraining().data, seed=0)
    with contextlib.suppress(BadSample):
        first = source[0]
        if first.questions and not first.captions:
            more = no_text, ()  # answers, none of which is a class
            return QuestionSamples(*common, RandomResizedCrop(), no_text, 0, *more)
    return PairSamples(*common, RandomResizedCrop(), no_text, seed=0)
