"""A step of ALBEF does the products of its parts once, whoever asks for them."""

import jax
import pytest

from configs.scenes import albef
from vlp_jax.core.types import Need
from vlp_jax.models.outputs import (
    compute_outputs,
    inference,
    inputs_of,
    method_of,
)
from vlp_jax.planning.flops import matmul_flops
from vlp_jax.planning.program import StepProgram
from vlp_jax.training.state import variables_of

ROWS = 4
TOWERS = "image_tokens", "text_states", "image_embedding", "text_embedding"


@pytest.fixture(scope="module")
def program():
    config = albef.get_config()
    config.objectives.masked_lm.soft_share = 0.4
    config.contrasts.train.kind = None  # a stream of its own, nothing of it is shared
    config.objectives.judging.weight = 0.0
    return StepProgram(config, jax.devices()[:1], is_tpu=False)


def flops_of_forward(program) -> float:
    """Of all outputs that the objectives of the recipe need, derived ones included."""
    objective, state = program.learner.objective, program.state
    compute = compute_outputs(program.learner.model, objective.derived)
    variables = {name: variables_of(state, name) for name in ("model", "momentum")}
    variables["live"] = variables.pop("model")

    def forward(variables, batch, key):
        return compute(variables, objective.needs, batch, key)[0]

    key = jax.eval_shape(lambda: jax.random.key(0))
    return matmul_flops(jax.make_jaxpr(forward)(variables, program.batch(ROWS), key))


def flops_of_parts(program) -> dict[str, float]:
    """Of every method by itself, given what it is computed from."""
    model, variables = program.learner.model, variables_of(program.state)
    known, found = dict(program.batch(ROWS)["pairs"]), {}

    def count(name):
        arrays = {k: known[k] for k in inputs_of(method_of(model, name))}
        function = inference(model, name)
        found[name] = matmul_flops(jax.make_jaxpr(function)(variables, **arrays))
        known[name] = jax.eval_shape(function, variables, **arrays)

    for name in TOWERS:
        count(name)
    for name in ("image_tokens", "text_states", "text_mask"):
        known[f"negative_{name}"] = known[name]
    known["masked_tokens"] = known["text_tokens"]
    for name in ("matching_logits", "masked_lm_logits"):
        count(name)
    return found


def flops_of_negatives(program) -> float:
    """Of the likeness that hard negatives are drawn by."""
    draw = program.learner.objective.derived["negative_index"]
    embedding = jax.ShapeDtypeStruct((ROWS, 128), "float32")
    pairs = program.batch(ROWS)["pairs"]
    given = embedding, embedding, jax.ShapeDtypeStruct((), "float32")
    key = jax.eval_shape(lambda: jax.random.key(0))
    return matmul_flops(
        jax.make_jaxpr(draw)(*given, pairs["valid"], pairs["sample_id"], key)
    )


def test_a_step_is_the_sum_of_its_parts(program):
    parts = flops_of_parts(program)
    assert min(parts.values()) > 0
    once = sum(parts.values()) + flops_of_negatives(program)
    # The moving average matches nothing.
    again = sum(parts[name] for name in (*TOWERS, "masked_lm_logits"))
    assert flops_of_forward(program) == once + again


def test_the_count_would_tell_of_an_output_that_is_computed_twice(program):
    model, variables = program.learner.model, variables_of(program.state)
    batch = program.batch(ROWS)
    needs = [Need("image_tokens"), Need("image_embedding")]

    def twice(variables, batch):
        compute = compute_outputs(model)
        key = jax.random.key(0)
        return [compute({"live": variables}, [n], batch, key)[0] for n in needs]

    def once(variables, batch):
        key = jax.random.key(0)
        return compute_outputs(model)({"live": variables}, needs, batch, key)[0]

    count = [matmul_flops(jax.make_jaxpr(f)(variables, batch)) for f in (twice, once)]
    assert count[0] - count[1] == flops_of_parts(program)["image_tokens"]
