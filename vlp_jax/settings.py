"""The numbers of a recipe: which of them make sense, and the plan that they are."""

from collections.abc import Mapping, Sequence

from jax.sharding import Mesh
from ml_collections import ConfigDict

from vlp_jax.checkpoint.storage import WEIGHTS
from vlp_jax.core.errors import ConfigError, check_range
from vlp_jax.core.lookup import lookup
from vlp_jax.data.answers import read_classes
from vlp_jax.parallel.mesh import check_batch_size
from vlp_jax.training.plan import Plan

SECTIONS = {  # of a config, by stream
    "pairs": "data",
    "questions": "questions",
    "contrasts": "contrasts",
    "labels": "labels",
    "texts": "texts",
}
LABELLED = ("labels", "texts")  # streams of config.class_names


def stream_sizes(config: ConfigDict) -> dict[str, int]:
    """{stream: rows of its batches} of what a run reads; pairs where nothing is set."""
    sizes = {}
    for stream, section in SECTIONS.items():
        if is_read(config, stream):
            own = None if stream == "pairs" else config[section].batch_size
            sizes[stream] = config.batch_size if own is None else own
    return sizes or {"pairs": config.batch_size}


def is_read(config: ConfigDict, stream: str) -> bool:
    """Whether a run has a source for a stream; a config of old knows only some."""
    if SECTIONS[stream] not in config:
        return False
    section = config[SECTIONS[stream]]
    return section.train.kind is not None or bool(section.mixture)


def most_classes(config: ConfigDict) -> int:
    """How many answers are classes, as far as can be told without the data."""
    questions = config.questions
    if "questions" not in stream_sizes(config):
        return 0
    if questions.answers is not None:
        return len(read_classes(questions.answers))
    return questions.answer_count


def complete_streams(config: ConfigDict) -> None:
    """Writes out what the streams of a run take from its other settings."""
    for stream, rows in stream_sizes(config).items():
        if stream != "pairs":
            config[SECTIONS[stream]].batch_size = rows
    if is_read(config, "questions") and config.questions.length is None:
        config.questions.length = config.tokenizer.length


def check_settings(config: ConfigDict) -> None:
    """ConfigError for numbers that make no sense, before anything is opened."""
    if config.steps is None and config.epochs is None:
        raise ConfigError(
            "config.steps is not given; set --config.steps=NUMBER, or --config.epochs"
        )
    check_range("steps", config.steps, 1)
    check_range("seed", config.seed, 0, 2**32 - 1)
    check_range("data.threads", config.data.threads, 0)
    check_range("data.workers", config.data.workers, 0)
    check_range("data.max_bad_share", config.data.max_bad_share, 0, 1)
    check_range("accumulation", config.accumulation, 1)
    _check_streams(config)
    check_range("checkpoint.keep", config.checkpoint.keep, 1)
    check_range("checkpoint.keep_every", config.checkpoint.keep_every, 1)
    if config.checkpoint.keep_best is not None:
        evaluator = config.checkpoint.keep_best.split("/")[0]
        lookup(config.evaluation.evaluators, evaluator, "checkpoint.keep_best")
        every, saved = config.evaluation.every or 0, config.checkpoint.every
        if not every or every % saved:
            raise ConfigError(
                f"checkpoint.keep_best needs evaluations at steps that are saved: "
                f"evaluation.every is {every}, expected a multiple of checkpoint.every "
                f"= {saved}"
            )
    check_range("evaluation.every", config.evaluation.every, 0)
    check_range("evaluation.batch_size", config.evaluation.batch_size, 1)
    check_range("ema_decay", config.ema_decay, 0, 1)
    check_range("momentum_decay", config.momentum_decay, 0, 1)
    lookup(WEIGHTS, config.evaluation.weights, "evaluation.weights")
    if config.evaluation.weights == "ema" and config.ema_decay is None:
        raise ConfigError(
            "evaluation.weights is 'ema', but this run keeps no moving average; "
            "set --config.ema_decay=0.999, for example"
        )
    check_range("stop_after", config.stop_after, 1)


def _check_streams(config: ConfigDict) -> None:
    questions, longest = config.questions, config.tokenizer.length
    check_range("questions.batch_size", questions.batch_size, 1)
    check_range("contrasts.batch_size", config.contrasts.batch_size, 1)
    for name in LABELLED:
        check_range(f"{name}.batch_size", config[name].batch_size, 1)
        check_range(f"{name}.shots", config[name].shots, 1)
    check_range("questions.answer_count", questions.answer_count, 1)
    if is_read(config, "questions"):
        check_range("questions.length", questions.length, 1, longest)
        check_range("questions.answer_length", questions.answer_length, 1, longest)
    sizes = stream_sizes(config)
    if config.data.text_lengths is not None and "pairs" not in sizes:
        raise ConfigError(
            "data.text_lengths cuts captions of pairs, and this run reads only "
            f"{' and '.join(sizes)}; leave it out (questions have questions.length)"
        )


def check_sizes(config: ConfigDict, mesh: Mesh) -> None:
    """ConfigError unless the devices can share the batches of all streams evenly."""
    for stream, rows in stream_sizes(config).items():
        name = "batch_size" if stream == "pairs" else f"{SECTIONS[stream]}.batch_size"
        check_batch_size(rows, mesh, config.accumulation, name)


def check_streams(
    needed: Mapping[str, Sequence[str]], sizes: Mapping[str, int]
) -> None:
    """ConfigError where an objective needs a stream that the run does not read.

    needed: {objective: streams}. sizes: as stream_sizes returns them.
    """
    for name, streams in needed.items():
        for stream in (stream for stream in streams if stream not in sizes):
            raise ConfigError(
                f"objectives.{name} learns from {stream}, and this run reads only "
                f"{' and '.join(sizes)}; set --config.{SECTIONS[stream]}.train.kind, "
                f"or --config.objectives.{name}.weight=0"
            )


def make_plan(config: ConfigDict) -> Plan:
    """When things happen in a run of this config."""
    last = config.steps if config.stop_after is None else config.stop_after
    return Plan(
        total_steps=config.steps,
        last_step=min(config.steps, last),
        rows=stream_sizes(config),
        log_every=config.log_every,
        save_every=config.checkpoint.every,
        evaluate_every=config.evaluation.every or 0,
        max_bad_share=config.data.max_bad_share,
        nonfinite_in_a_row=config.nonfinite.in_a_row,
        rollbacks=config.nonfinite.rollbacks,
        watchdog=config.watchdog,
    )
