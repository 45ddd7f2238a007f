"""Charts: inside their frame, few points, round labels, logarithmic where it helps."""

import math

import pytest

from vlp_jax.evaluation import charts


def positions(line):
    return [tuple(map(float, point.split(","))) for point in line.split()]


@pytest.mark.parametrize(
    "values",
    [
        [3.0],
        [2.0, 2.0, 2.0],
        [0.0],
        [-1.0, 1.0],
        [1e-8, 1e-3, 1.0],
        [0.0, 1e6],
        [5e-324],
        [0.0, 5e-324],
    ],
)
def test_charts_stay_inside_their_frame(values):
    chart = charts.line_chart("x", [(i * 1000, v) for i, v in enumerate(values)])
    for x, y in [*positions(chart.raw), chart.end]:
        assert chart.left <= x <= chart.right and 0 <= y <= chart.bottom
    assert 1 <= len(chart.x_ticks) <= 7 and 1 <= len(chart.y_ticks) <= 7


def test_charts_of_long_and_wide_series():
    points = [(step, 10.0 ** -(step / 10_000)) for step in range(30_001)]
    chart = charts.line_chart("loss", points + [(30_001, float("inf"))])
    assert chart.is_log and chart.last == "0.001"
    assert len(positions(chart.raw)) <= charts.MOST_POINTS
    assert [label for _, label in chart.x_ticks] == [
        "0",
        "5k",
        "10k",
        "15k",
        "20k",
        "25k",
        "30k",
    ]
    assert [label for _, label in chart.y_ticks] == ["0.01", "0.1"]


def test_a_learning_rate_keeps_its_linear_axis():
    cosine = [(step, 1 + math.cos(math.pi * step / 1000)) for step in range(1000)]
    assert not charts.line_chart("learning_rate", cosine).is_log


@pytest.mark.parametrize(
    "value, text",
    [(0, "0"), (1234, "1234"), (20_000, "20k"), (1_234_567, "1.23M"), (1e-5, "1e-05")],
)
def test_compact_numbers(value, text):
    assert charts.compact(value) == text


def test_a_series_for_each_metric_the_loss_first():
    """Steps, timings and what was not measured are no curves."""
    rows = [
        {"step": 0, "acc": 0.5, "loss": 2.0, "timing": {"step": 1}, "samples": 8},
        {"step": 5, "loss": 1.0, "acc": None},
    ]
    found = charts.series(rows)
    assert found == {"loss": [(0, 2.0), (5, 1.0)], "acc": [(0, 0.5)]}
    assert list(found) == ["loss", "acc"]
    assert charts.series([{"step": 0, "acc": 1.0}]) == {"acc": [(0, 1.0)]}
