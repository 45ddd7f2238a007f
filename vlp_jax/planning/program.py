"""The train step of a config on a slice: its shapes, its cost, and its compilation.

Nothing is made of what it describes: no array, no data, no tokenizer. A plan needs of
the tokenizer only config.tokenizer.vocab_size and length.
"""

import dataclasses
import functools
import math
import re
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
from jax.errors import JaxRuntimeError
from jax.sharding import NamedSharding
from ml_collections import ConfigDict

from vlp_jax import build, settings
from vlp_jax.adapting import context_of
from vlp_jax.core import trees
from vlp_jax.core.errors import RunError
from vlp_jax.core.types import STREAMS, Batch
from vlp_jax.data.answers import PEOPLE
from vlp_jax.learner import Learner
from vlp_jax.parallel.mesh import batch_devices, check_batch_size
from vlp_jax.parallel.sharding import BATCH, placed_shapes
from vlp_jax.planning import hlo
from vlp_jax.planning.flops import matmul_flops
from vlp_jax.training.state import variables_of


@dataclasses.dataclass(frozen=True)
class Memory:
    """Bytes on one device. `peak` is what must fit: all of it at the same time."""

    arguments: float
    temporaries: float
    code: float
    peak: float


@dataclasses.dataclass(frozen=True)
class Compiled:
    """What the compiler said about a step.

    flops: FLOP that a step really does, remat and loss included, on all devices.
    needed: bytes on one device. memory: None when the program was refused.
    """

    seconds: float
    flops: float
    needed: float
    memory: Memory | None = None
    found: hlo.Found | None = None


CLASSES = 1000  # of a run that names none: no data are read


class Shaped(SimpleNamespace):
    """In place of a tokenizer, where only shapes matter."""

    def __call__(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Tokens and a mask as of texts that leave room."""
        mask = np.ones((len(texts), self.length), bool)
        mask[:, -1] = False
        return np.zeros((len(texts), self.length), np.int32), mask

    def is_context(self, tokens: np.ndarray) -> np.ndarray:
        return np.zeros(tokens.shape, bool)

    def ids(self, tokens: Sequence[str]) -> list[int]:
        return [*range(self.vocab_size - len(tokens), self.vocab_size)]


class StepProgram:
    """The train step of a config on given devices.

    Args:
      config: of a training run; of its batch sizes only their proportions are used.
      devices: of a topology, or of this machine.
      is_tpu: whether libtpu compiles for them.
    """

    def __init__(self, config: ConfigDict, devices: Sequence, is_tpu: bool):
        self.config, self.is_tpu = config, is_tpu
        self.mesh = build.make_mesh(config, devices)
        self.devices = len(devices)
        self.shares = batch_devices(self.mesh) * config.accumulation
        self.sizes = settings.stream_sizes(config)
        preprocessing = build.make_preprocessing(config)
        block = config.tokenizer
        if config.class_names is None and set(settings.LABELLED) & set(self.sizes):
            config.class_names = tuple(map(str, range(CLASSES)))
        config.prompts.start = None  # of the values, which nothing here depends on
        words = block.vocab_size + len(context_of(config))
        tokenizer = Shaped(
            vocab_size=words,
            length=block.length,
            word_borders=np.ones((2, words), bool),
            **dict.fromkeys(("bos_id", "eos_id", "pad_id", "mask_id"), 0),
        )
        answers = settings.most_classes(config)
        self.learner = Learner(config, self.mesh, preprocessing, tokenizer, answers)
        settings.check_streams(self.learner.objective.streams, self.sizes)
        self.state = self.learner.state_shapes()
        self._image_size = preprocessing.image_size

    @property
    def stream(self) -> str:
        """The first stream, whose rows a plan counts: the others' are in proportion."""
        return next(iter(self.sizes))

    def rows(self, count: int, multiple: int = 1) -> dict[str, int]:
        """Rows by stream beside so many of the first, rounded up to a multiple."""
        first = self.sizes[self.stream]
        exact = {name: -(-count * size // first) for name, size in self.sizes.items()}
        return {name: -(-size // multiple) * multiple for name, size in exact.items()}

    def batch(self, count: int, multiple: int = 1) -> Batch:
        """Shapes of a batch without places; see `rows`."""
        return {
            name: {
                key: jax.ShapeDtypeStruct((rows, *shape), dtype)
                for key, (shape, dtype) in self._row(name).items()
            }
            for name, rows in self.rows(count, multiple).items()
        }

    def _row(self, stream: str) -> dict[str, tuple[tuple[int, ...], str]]:
        """(shape, dtype) of the arrays of a sample."""
        asked, length = self.config.questions, self.config.tokenizer.length
        if stream == "questions":
            length = asked.length or length
        shapes = {
            "image": ((self._image_size, self._image_size, 3), "uint8"),
            "text_tokens": ((length,), "int32"),
            "text_mask": ((length,), "bool"),
            "valid": ((), "bool"),
            "sample_id": ((), "int32"),
            "fits": ((), "bool"),
            "label": ((), "int32"),
            "answer_tokens": ((asked.answer_length,), "int32"),
            "answer_mask": ((asked.answer_length,), "bool"),
            "answer_labels": ((PEOPLE,), "int32"),
            "answer_scores": ((PEOPLE,), "float32"),
        }
        return {name: shapes[name] for name in STREAMS[stream]}

    @property
    def parameters(self) -> int:
        return trees.count(variables_of(self.state)["params"])

    @functools.cached_property
    def state_bytes(self) -> float:
        """Of the whole train state, on one device."""
        return _device_bytes(self.state)

    @functools.cached_property
    def gradient_bytes(self) -> float:
        """Of the gradients, on one device; they are split as the parameters are."""
        return _device_bytes(self.state.params)

    @functools.cached_property
    def kept_bytes(self) -> float:
        """Activations that the backward pass asks for, before fusion.

        Those of one pair, and of the rows of other streams that belong to it.
        """

        def residuals(rows: int) -> float:
            def backward(params, *others):
                return jax.vjp(lambda p: self._forward(p, *others), params)[1]

            kept = jax.eval_shape(backward, *self._inputs(rows))
            return sum(_bytes(leaf) for leaf in jax.tree.leaves(kept))

        rows = self._few_rows
        return (residuals(2 * rows) - residuals(rows)) / rows

    @functools.cached_property
    def model_flops(self) -> float:
        """FLOP of a pair, forward and backward: three times those of the forward pass.

        With those of the rows of other streams that belong to it; without what remat
        computes again and without the loss. A locked tower, which does without a
        backward pass, is counted like the others.
        """
        forward = jax.make_jaxpr(self._forward)(*self._inputs(self._few_rows))
        return 3 * matmul_flops(forward) / self._few_rows

    @property
    def _few_rows(self) -> int:
        """Of the first stream, beside which the rows of the others are whole.

        So many that every device has one, and another one to be told from it.
        """
        whole = self.sizes[self.stream] // math.gcd(*self.sizes.values())
        return 2 * batch_devices(self.mesh) * whole

    def _inputs(self, rows: int):
        """Shapes of what _forward takes."""
        state = self.state
        batch = self.batch(rows)
        return state.params, state.frozen, state.variables, batch, _key_shape()

    def _forward(self, params, frozen, variables, batch, key):
        """The live outputs that the objectives need."""
        params = trees.merge(params, frozen)
        variables = {"live": {"params": params, **variables}}
        needs = [n for n in self.learner.objective.needs if n.parameters == "live"]
        return self.learner.compute()(variables, needs, batch, key)[0]

    def pairs_of(self, batch_size: int) -> int:
        """Pairs on a device at a time; ConfigError when a batch cannot be shared so."""
        check_batch_size(batch_size, self.mesh, self.config.accumulation)
        return batch_size // self.shares

    def trace(self, batch_size: int):
        """The step, traced for a batch of this size of all devices together."""
        batch = self.batch(batch_size, self.shares)
        rows = NamedSharding(self.mesh, BATCH)
        batch = placed_shapes(batch, jax.tree.map(lambda x: rows, batch))
        return self.learner.update(self.state).trace(self.state, batch)

    def compile(self, batch_size: int) -> Compiled:
        """Compiles the step; a program that is too large comes back without memory."""
        start = time.perf_counter()
        with jax.set_mesh(self.mesh), tempfile.TemporaryDirectory() as folder:
            # libtpu cannot always hand back the text of what it compiled; it can
            # write it.
            options = {"xla_dump_to": folder} if self.is_tpu else {}
            traced = self.trace(batch_size)
            flops = matmul_flops(traced.jaxpr)
            try:
                compiled = traced.lower().compile(compiler_options=options)
            except JaxRuntimeError as error:
                needed = needed_bytes(str(error), self.state_bytes)
                return Compiled(time.perf_counter() - start, flops, needed)
            written = sorted(Path(folder).glob("*train_step*.after_optimizations.txt"))
            text = written[-1].read_text() if written else compiled.as_text()
        memory = _memory(compiled.memory_analysis())
        found = hlo.collectives(text, self.devices)
        seconds = time.perf_counter() - start
        return Compiled(seconds, flops, memory.peak, memory, found)


def _key_shape() -> jax.ShapeDtypeStruct:
    return jax.eval_shape(lambda: jax.random.key(0))


def _bytes(leaf) -> float:
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return 8
    return leaf.size * leaf.dtype.itemsize


def _device_bytes(tree) -> float:
    """Bytes of a tree of placed shapes on one device."""
    return sum(
        _bytes(jax.ShapeDtypeStruct(x.sharding.shard_shape(x.shape), x.dtype))
        for x in jax.tree.leaves(tree)
    )


def _memory(analysis) -> Memory:
    results = analysis.output_size_in_bytes - analysis.alias_size_in_bytes
    code = analysis.generated_code_size_in_bytes
    arguments, temporaries = (
        analysis.argument_size_in_bytes,
        analysis.temp_size_in_bytes,
    )
    peak = arguments + results + temporaries + code
    return Memory(arguments, temporaries, code, peak)


def needed_bytes(message: str, state_bytes: float) -> float:
    """Bytes that a refused program asked for, from the compiler's own words."""
    units = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
    total = re.search(r"Used ([\d.]+)([KMGT]) of [\d.]+[KMGT] hbm", message)
    if total:
        return float(total[1]) * units[total[2]]
    temporaries = re.search(
        r"HLO temporaries \(([\d.]+)([KMGT])\) exceeds available HBM", message
    )
    if temporaries:
        return float(temporaries[1]) * units[temporaries[2]] + state_bytes
    raise RunError(f"the compiler failed: {' '.join(message.split())[:500]}")
