"""What a training run logs of its evaluators, whatever becomes of one of them."""

import json

import numpy as np
import pytest

from vlp_jax.core.errors import ConfigError, RunError
from vlp_jax.core.types import Report
from vlp_jax.evaluation.row import metric_row


class Fixed:
    """An evaluator that finds these metrics, or fails with an error."""

    def __init__(self, found):
        self.found = found

    def run(self, predictor):
        assert predictor == "the model"
        if isinstance(self.found, Exception):
            raise self.found
        return Report("task", "data", self.found)


def row(**found) -> dict:
    return metric_row({name: Fixed(one) for name, one in found.items()}, "the model")


def test_metrics_are_named_by_their_evaluator(capsys):
    found = row(digits={"acc1": np.float32(0.5), "acc5": 1}, scenes={"acc1": 0.25})
    assert found == {"digits/acc1": 0.5, "digits/acc5": 1.0, "scenes/acc1": 0.25}
    assert {type(value) for value in found.values()} == {float}
    said = "evaluation  digits/acc1 0.500  digits/acc5 1.000  scenes/acc1 0.250\n"
    assert capsys.readouterr().out == said


@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.float32("-inf")])
def test_a_metric_that_is_not_defined_is_null(capsys, value):
    found = row(digits={"acc1": 0.5, "acc5": value})
    assert found == {"digits/acc1": 0.5, "digits/acc5": None}
    json.dumps(found, allow_nan=False)
    assert capsys.readouterr().out == "evaluation  digits/acc1 0.500\n"


@pytest.mark.parametrize("error", [RunError("no picture"), ConfigError("no picture")])
def test_one_that_fails_says_so_and_the_others_go_on(capsys, error):
    found = row(first={"acc1": 1.0}, broken=error, last={"acc1": 0.0})
    assert found == {"first/acc1": 1.0, "last/acc1": 0.0}
    assert capsys.readouterr().out.splitlines() == [
        "evaluation broken failed and is left out: no picture",
        "evaluation  first/acc1 1.000  last/acc1 0.000",
    ]


def test_nothing_is_said_of_nothing(capsys):
    assert row() == {}
    assert capsys.readouterr().out == ""


def test_a_bug_in_an_evaluator_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        row(first={"acc1": 1.0}, broken=ZeroDivisionError("a bug"))
