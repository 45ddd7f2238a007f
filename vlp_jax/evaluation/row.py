"""What a run that trains logs of its evaluators."""

import math
from collections.abc import Mapping

from vlp_jax.core.errors import ConfigError, RunError
from vlp_jax.core.logs import say
from vlp_jax.core.types import Evaluator, Predictor


def metric_row(
    evaluators: Mapping[str, Evaluator], predictor: Predictor
) -> dict[str, float | None]:
    """Metrics of every evaluator, named evaluator/metric.

    One that cannot evaluate says so and is left out: the run goes on.
    """
    row = {}
    for name, evaluator in evaluators.items():
        try:
            found = evaluator.run(predictor).metrics
        except (ConfigError, RunError) as error:
            say(f"evaluation {name} failed and is left out: {error}")
            continue
        # JSON has no NaN: a metric that is not defined is null.
        row |= {
            f"{name}/{metric}": float(v) if math.isfinite(v) else None
            for metric, v in found.items()
        }
    if row:
        known = {k: v for k, v in row.items() if v is not None}
        say("evaluation  " + "  ".join(f"{k} {v:.3f}" for k, v in known.items()))
    return row
