"""A step's FLOP and parameters against published figures; what a refused one needed."""

import importlib

import jax
import pytest

from tests.end_to_end import tiny_albef
from tests.learns_questions import Agreement, asking
from vlp_jax import build, objectives
from vlp_jax.core.errors import ConfigError
from vlp_jax.planning.program import StepProgram, needed_bytes
from vlp_jax.streams import Streams

# GFLOP of a pair, forward and backward; OpenCLIP publishes a third of each as the
# forward pass (model_profile.csv: 14.78, 41.09, 175.33, and 18.18 less 0.64 for RN50,
# whose attention pool computes 50 tokens there, though only the first is read).
PUBLISHED = {
    "clip_vit_b32": 44.3,
    "clip_vit_b16": 123.3,
    "clip_vit_l14": 526.0,
    "clip_rn50": 52.6,
}
PARAMETERS = {
    "clip_vit_b32": 151.3,
    "clip_vit_b16": 149.6,
    "clip_vit_l14": 427.6,
    "clip_rn50": 102.0,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_sizes(name):
    config = importlib.import_module(f"configs.pretrain.{name}").get_config()
    program = StepProgram(config, jax.devices(), is_tpu=False)
    assert program.model_flops / 1e9 == pytest.approx(PUBLISHED[name], rel=0.01)
    assert program.parameters / 1e6 == pytest.approx(PARAMETERS[name], abs=0.05)
    # Adam keeps two numbers beside each parameter; fsdp splits all but the small.
    split = 12 * program.parameters / program.mesh.shape["fsdp"]
    assert program.state_bytes == pytest.approx(split, rel=0.01)


def test_an_objective_may_draw_among_the_rows_of_a_device():
    config = importlib.import_module("configs.scenes.albef").get_config()
    program = StepProgram(config, jax.devices(), is_tpu=False)
    assert program.model_flops > 0 and program.kept_bytes > 0


# ---- questions


@pytest.fixture
def agreement(monkeypatch):
    monkeypatch.setitem(objectives.OBJECTIVES, "agreement", Agreement)


def program_of(config) -> StepProgram:
    return StepProgram(config, jax.devices(), is_tpu=False)


def shapes(batch) -> dict:
    return {
        name: {key: (x.shape, x.dtype.name) for key, x in arrays.items()}
        for name, arrays in batch.items()
    }


def test_the_batch_is_that_of_a_run(agreement):
    config = asking()
    streams = Streams(config)
    words = build.make_tokenizer(config, ["a text"])
    samples = streams.samples(build.make_preprocessing(config), words, ())
    batches = streams.batches(samples, build.make_mesh(config), 0)
    expected = next(batches).arrays
    batches.close()
    assert shapes(program_of(config).batch(16)) == shapes(expected)


def test_questions_are_planned_in_proportion(agreement):
    program = program_of(asking(batch_size=24, questions__batch_size=16))
    assert program.rows(24) == {"pairs": 24, "questions": 16}
    assert program.rows(48, program.shares) == {"pairs": 48, "questions": 32}
    assert program.rows(32, program.shares) == {"pairs": 32, "questions": 24}
    alone = program_of(asking(pairs=False))
    assert alone.rows(40) == {"questions": 40} and alone.stream == "questions"


def test_contrasts_are_planned_as_they_are_read():
    config = tiny_albef.get_config()
    samples = Streams(config).samples(
        build.make_preprocessing(config), build.make_tokenizer(config, ["a text"]), ()
    )
    program = program_of(config)
    assert program.rows(16) == {"pairs": 16, "contrasts": 8}
    row = {key: x for key, x in samples["contrasts"][0].items() if key != "bad"}
    expected = {key: (x.shape, x.dtype.name) for key, x in row.items()}
    assert program._row("contrasts") == expected
    without = tiny_albef.get_config()
    without.objectives.judging.weight = 0.0
    assert program.model_flops > 1.1 * program_of(without).model_flops


def test_what_a_pair_costs_with_its_questions(agreement):
    """Their sum, in the proportion of the batches."""
    pairs = program_of(asking(objectives__agreement__weight=0.0))
    questions = program_of(asking(pairs=False))
    both = program_of(asking(batch_size=24, questions__batch_size=16))
    for name in ("model_flops", "kept_bytes"):
        one, other = getattr(pairs, name), getattr(questions, name)
        assert one > 0 and other > 0
        assert getattr(both, name) == pytest.approx(one + other * 2 / 3, rel=1e-6)


def test_a_plan_of_questions_alone_compiles(agreement):
    compiled = program_of(asking(pairs=False)).compile(16)
    assert compiled.memory and compiled.flops > 0


def test_an_objective_without_its_stream(agreement):
    config = asking()
    config.questions.train.kind = None
    with pytest.raises(ConfigError, match="objectives.agreement learns from questions"):
        program_of(config)


# ---- what the compiler says


@pytest.mark.parametrize(
    ("message", "needed"),
    [
        (
            "RESOURCE_EXHAUSTED: E1000: CompileTimeHbmOom: Ran out of memory on HBM, "
            "the total memory required for HLO temporaries (19.98G) exceeds available "
            "HBM (15.75G).",
            19.98 * 2**30 + 5,
        ),
        ("XLA:TPU compile permanent error. Used 512.5M of 16.00M hbm.", 512.5 * 2**20),
    ],
)
def test_what_a_refused_program_asked_for(message, needed):
    assert needed_bytes(message, state_bytes=5) == needed


def test_other_failures_of_the_compiler_are_not_taken_for_a_lack_of_memory():
    with pytest.raises(Exception, match="the compiler failed: INTERNAL: no"):
        needed_bytes("INTERNAL: no", 0)
