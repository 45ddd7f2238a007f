"""A step's FLOP and parameters against published figures; what a refused one needed."""

import importlib

import jax
import pytest

from vlp_jax.planning.program import StepProgram, needed_bytes

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
