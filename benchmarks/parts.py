"""A step of a model that fuses, beside the sum of its parts.

python -m benchmarks.parts        ALBEF on digit scenes; all parts, their sum, the step

A part is an output of the model by itself, forward and backward, or forward alone under
the moving average; beside them stand the draw of the negatives and the update. The
losses are in the step alone. What every objective needs is computed once a step, so
that a step takes no longer than the sum. tests/planning/test_no_output_twice.py counts
the same in FLOP, exactly.
"""

import argparse
import statistics
import time

import jax
import jax.numpy as jnp
import optax

from configs.scenes import albef
from vlp_jax.core.types import Batch
from vlp_jax.models.outputs import inference, inputs_of, method_of
from vlp_jax.planning.program import StepProgram
from vlp_jax.training.optimizer import moving_average
from vlp_jax.training.state import averaged, variables_of

GOAL = 1.1
EMBEDDINGS = "image_embedding", "text_embedding"
NEGATIVE = "image_tokens", "text_states", "text_mask"  # as large as the pair's own


def random_batch(program: StepProgram, rows: int) -> Batch:
    """Arrays of the shapes of the program; every text fills its length."""
    key = jax.random.key(0)

    def values(shape):
        if shape.dtype == bool:
            return jnp.ones(shape.shape, bool)
        return jax.random.randint(key, shape.shape, 0, 256).astype(shape.dtype)

    batch = jax.tree.map(values, program.batch(rows))
    for arrays in batch.values():
        arrays["sample_id"] = jnp.arange(len(arrays["valid"]))
    return batch


def trained(function):
    """(variables, arrays) -> gradients of a sum by the parameters and by the inputs."""

    def total(params, floats, others):
        found = function({"params": params}, **floats, **others)
        return sum(jnp.sum(x.astype(jnp.float32) ** 2) for x in jax.tree.leaves(found))

    gradient = jax.grad(total, (0, 1))

    def run(variables, arrays):
        floats = {
            k: x for k, x in arrays.items() if jnp.isdtype(x.dtype, "real floating")
        }
        others = {k: x for k, x in arrays.items() if k not in floats}
        return gradient(variables["params"], floats, others)

    return run


def parts_of(learner, state, batch) -> dict:
    """{name: (function, arguments)} of what a step of ALBEF computes but its losses."""
    model, variables = learner.model, variables_of(state)
    found = {}

    def output(name, known, label=""):
        """Adds an output of what is known, and makes it known."""
        arrays = {k: known[k] for k in inputs_of(method_of(model, name))}
        function = inference(model, name)
        found[label or name] = trained(function), (variables, arrays)
        known[name] = jax.jit(function)(variables, **arrays)

    pairs, contrasts = batch["pairs"], dict(batch["contrasts"])
    known = pairs | {"masked_tokens": pairs["text_tokens"]}
    for name in ("image_tokens", "text_states", *EMBEDDINGS):
        output(name, known)
    known |= {f"negative_{name}": known[name] for name in NEGATIVE}
    for name in ("matching_logits", "masked_lm_logits"):
        output(name, known)
    for name in ("image_tokens", "match"):
        output(name, contrasts, f"{name} of contrasts")

    def average(variables, pairs):
        arrays = {k: pairs[k] for k in ("image", "text_tokens", "text_mask")}
        return [inference(model, name)(variables, **arrays) for name in EMBEDDINGS]

    found["embeddings of the average"] = (
        average,
        (variables_of(state, "momentum"), pairs),
    )
    draw = learner.objective.derived["negative_index"]
    known["logit_scale"] = variables["params"]["logit_scale"]
    given = {k: known[k] for k in inputs_of(draw)}, jax.random.key(0)
    found["negatives"] = (lambda given, key: draw(**given, key=key)), given

    def update(state, gradients):
        changes, opt_state = optax.with_extra_args_support(learner.optimizer).update(
            gradients, state.opt_state, state.params, step=state.step
        )
        params = optax.apply_updates(state.params, changes)
        newest = averaged(params, state.variables)
        decay = learner.decays["momentum"]
        return params, opt_state, moving_average(state.momentum, newest, decay)

    found["update"] = update, (state, state.params)
    return found


def seconds(function, *arguments) -> float:
    start = time.perf_counter()
    jax.block_until_ready(function(*arguments))
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    config = albef.get_config()
    program = StepProgram(config, jax.devices()[:1], is_tpu=False)
    learner = program.learner
    with jax.set_mesh(program.mesh):
        state = learner.fresh_state({})
        batch = random_batch(program, config.batch_size)
        parts = parts_of(learner, state, batch)
        sides = {k: (jax.jit(run), given) for k, (run, given) in parts.items()}
        # The step gives its state's memory to the next: it gets a copy each time.
        step = learner.update(state)
        times: dict[str, list[float]] = {name: [] for name in (*sides, "step")}
        for _ in range(options.rounds + 1):  # in turn; the first one compiles
            for name, (run, given) in sides.items():
                times[name].append(seconds(run, *given))
            own = jax.block_until_ready(jax.tree.map(jnp.copy, state))
            times["step"].append(seconds(step, own, batch))
    middle = {k: 1e3 * statistics.median(found[1:]) for k, found in times.items()}
    whole = middle.pop("step")
    total = sum(middle.values())
    rows = " and ".join(f"{n} {k}" for k, n in program.rows(config.batch_size).items())
    print(f"{jax.devices()[0].device_kind}, jax {jax.__version__}; {rows}")
    for name, took in (*middle.items(), ("sum of the parts", total), ("step", whole)):
        print(f"  {name:28} {took:8.1f} ms")
    ratio = whole / total
    verdict = "met" if ratio <= GOAL else "NOT MET"
    print(f"  step / sum of the parts      {ratio:8.2f}  {verdict} (goal {GOAL})")


if __name__ == "__main__":
    main()
