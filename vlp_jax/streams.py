"""The streams that a run reads, and their batches as one."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from jax.sharding import Mesh
from ml_collections import ConfigDict

from vlp_jax import build
from vlp_jax.core.errors import ConfigError
from vlp_jax.core.logs import say, size_of
from vlp_jax.core.types import Source
from vlp_jax.data.answers import answer_classes, read_classes
from vlp_jax.data.captions import spread_captions
from vlp_jax.data.contrasts import spread_contrasts
from vlp_jax.data.loader import HostBatch, joined
from vlp_jax.data.questions import count_answers, spread_questions
from vlp_jax.data.samples import Samples
from vlp_jax.data.sources import SOURCES
from vlp_jax.data.tokenizers import Tokenizer
from vlp_jax.data.transforms.image import Preprocessing
from vlp_jax.feed import Feed, no_text, plain_samples
from vlp_jax.parallel.sharding import process_share
from vlp_jax.settings import LABELLED, stream_sizes

TEXTS = {  # to train a tokenizer on
    "pairs": spread_captions,
    "questions": spread_questions,
    "contrasts": spread_contrasts,
    "labels": lambda source, samples: source.class_names,
    "texts": spread_captions,
}


class Streams:
    """The training data of a config: a feed for every stream that it reads.

    `sizes` are the rows of a batch, by stream, `sources` what they come from; the first
    stream, the pairs where there are any, is the one that epochs are counted by.
    """

    def __init__(self, config: ConfigDict):
        self.config, self.sizes = config, stream_sizes(config)
        self.feeds = {name: Feed(config, name) for name in self.sizes}
        self.sources = {name: feed.source for name, feed in self.feeds.items()}
        self.pass_size = next(iter(self.feeds.values())).pass_size

    def texts(self, samples: int) -> Iterator[str]:
        """Texts of so many examples of every stream: what a tokenizer is trained on."""
        for name, source in self.sources.items():
            yield from TEXTS[name](source, samples)

    def classes(self) -> tuple[str, ...]:
        """The answers that are classes: those of a file, or the most frequent ones.

        () where no questions are read. The latter reads all questions.
        """
        questions = self.config.questions
        if "questions" not in self.sources:
            return ()
        if questions.answers is not None:
            return read_classes(questions.answers)
        count = count_answers(self.sources["questions"])
        return answer_classes(count, questions.answer_count)

    def class_names(self) -> tuple[str, ...] | None:
        """The classes of labels and texts: as config has them, else their sources'.

        None where neither is read.
        """
        read = {n: source for n, source in self.sources.items() if n in LABELLED}
        named = {n: tuple(x.class_names) for n, x in read.items() if x.class_names}
        if self.config.class_names is not None:
            named = {"class_names": tuple(self.config.class_names), **named}
        if read and not named:
            raise ConfigError(
                f"{' and '.join(x.name for x in read.values())} names no classes; give "
                "a source that does, or --config.class_names=\"('cat', 'dog')\""
            )
        for name, names in named.items():
            check_names(name, names)
        renamed = self.config.class_names is not None  # then only the number counts
        if len({len(names) if renamed else names for names in named.values()}) > 1:
            said = ", ".join(f"{n} has {len(names)}" for n, names in named.items())
            raise ConfigError(
                f"classes do not fit each other: {said}; read sources with the same "
                "classes in one order, or name as many in config.class_names"
            )
        return next(iter(named.values()), None)

    def samples(
        self,
        preprocessing: Preprocessing,
        tokenizer: Tokenizer,
        classes: Sequence[str],
    ) -> dict[str, Samples]:
        """{stream: its samples by position}, as the model gets them."""
        return {
            name: feed.samples(preprocessing, tokenizer, classes)
            for name, feed in self.feeds.items()
        }

    def batches(
        self, samples: Mapping[str, Samples], mesh: Mesh, first_step: int
    ) -> Iterator[HostBatch]:
        """Host batches of all streams together, from a step on."""
        found = []
        for name, feed in self.feeds.items():
            share = process_share(self.sizes[name], mesh)
            mine = feed.batches(samples[name], self.sizes[name], share, first_step)
            found.append(mine)
        return joined(found)

    @property
    def fingerprint(self) -> dict:
        """What a checkpoint keeps of the data, to know them again."""
        found = {name: feed.fingerprint for name, feed in self.feeds.items()}
        parts = {
            part if name == "pairs" else f"{name}:{part}": digest
            for name, one in found.items()
            for part, digest in one["parts"].items()
        }
        return {"samples": sum(x["samples"] for x in found.values()), "parts": parts}

    def lines(self, learned: Mapping[str, Sequence[str]]) -> list[str]:
        """Each stream for people: what it reads, and how much there is of it.

        learned: {objective: the streams that it learns from}.
        """
        used = {stream for streams in learned.values() for stream in streams}
        found = []
        for name, source in self.sources.items():
            first = "" if list(self.sources) == ["pairs"] else f"{name}: "
            last = "" if name in used else " (no objective learns from them)"
            found.append(f"{first}{source.name}, {size_of(source)}{last}")
        return found

    def steps(self, count: int) -> str:
        """So many steps for people: what they read, and how often."""
        passes = {
            name: count * rows / len(self.sources[name])
            for name, rows in self.sizes.items()
        }
        said = (
            f"{rows:,} {name} ({passes[name]:.1f} passes over the data)"
            for name, rows in self.sizes.items()
        )
        return f"{count:,} steps of {' and '.join(said)}"


def check_names(where: str, names: tuple) -> None:
    """ConfigError unless these are texts that differ."""
    for name, times in Counter(names).items():
        if not isinstance(name, str) or times > 1:
            raise ConfigError(
                f"{where} has the class name {name!r}; expected texts, none of them "
                "twice: --config.class_names=\"('cat', 'dog')\""
            )


def describe_bad(samples: Mapping[str, Samples]) -> str:
    """Bad samples of all streams by name, for an error message."""
    return "; ".join(filter(None, (one.describe_bad() for one in samples.values())))


def open_one(config: ConfigDict, program: str) -> tuple[Source, dict]:
    """The only source of a recipe or of a dataset's config, and its settings."""
    recipe = "objectives" in config
    if recipe and config.data.mixture:
        names = ", ".join(config.data.mixture)
        raise ConfigError(
            f"this recipe mixes several sources ({names}); {program} takes one at a "
            "time: give a config of a dataset, such as configs/data/parquet.py"
        )
    block = config.data.train if recipe else config.data
    source = build.pick(SOURCES, block, "data.train" if recipe else "data")
    return source, build.settings(block)


def open_data(
    config: ConfigDict,
) -> tuple[dict[str, Source], Samples, Callable | None]:
    """The data of a recipe or of a dataset's config, for a look at them.

    Returns (sources by name, samples of the first stream as training gets them,
    captions -> numbers of tokens, where the config has a tokenizer that can be had).
    """
    if "objectives" not in config:
        source = build.pick(SOURCES, config.data, "data")
        return {"data": source}, plain_samples(source), None
    streams, tokenizer, count = Streams(config), no_text, None
    try:
        texts = streams.texts(config.tokenizer.train_samples)
        tokenizer = build.make_tokenizer(config, texts)

        def count(texts: Sequence[str]) -> list[int]:
            return tokenizer(texts)[1].sum(axis=1).tolist()

    except ConfigError as error:  # such as one that only a network has
        say(f"  note      tokens are not counted: {str(error).splitlines()[0]}")
    sources = {}
    for name, source in streams.sources.items():
        own = getattr(source, "sources", {"train": source})
        own = own if name == "pairs" else {f"{name}.{n}": x for n, x in own.items()}
        sources |= own
    feed = next(iter(streams.feeds.values()))
    samples = feed.samples(build.make_preprocessing(config), tokenizer)
    return sources, samples, count
