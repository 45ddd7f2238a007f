"""Geometry of the report's line charts; the template only draws it."""

import dataclasses
import math
from collections.abc import Iterable, Sequence

WIDTH, HEIGHT = 440, 220
LEFT, RIGHT, TOP, BOTTOM = 50, 14, 10, 26  # margins, which hold the tick labels
LOG_FROM = 100.0  # values whose deciles span this factor get a logarithmic axis
MOST_POINTS = 500  # more do not show at this width
SMOOTH_FROM = 40  # a curve of so many points gets a smoothed line over the raw one

Point = tuple[float, float]
Tick = tuple[float, str]  # position in the drawing, label


@dataclasses.dataclass(frozen=True)
class Chart:
    """A curve in the coordinates of the drawing, as SVG writes them."""

    name: str
    raw: str
    smooth: str  # '' for a short curve
    end: Point
    last: str
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    is_log: bool
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    bottom: int = HEIGHT - BOTTOM


@dataclasses.dataclass(frozen=True)
class Axis:
    """Maps values low..high to start..end of the drawing."""

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False

    def place(self, value: float) -> float:
        low, high = self.low, self.high
        if self.is_log:
            low, high, value = math.log(low), math.log(high), math.log(value)
        share = (value - low) / (high - low)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self) -> list[Tick]:
        if self.is_log:
            marks = _decades(self.low, self.high)
            return [(self.place(mark), compact(mark)) for mark in marks]
        marks = _round_steps(self.low, self.high)
        largest = max(abs(mark) for mark in marks)
        return [(self.place(mark), compact(mark, largest)) for mark in marks]


def line_chart(name: str, points: Sequence[Point]) -> Chart | None:
    """A chart of (step, value) pairs; None when no value is finite."""
    finite = sorted((s, v) for s, v in points if math.isfinite(v))
    if not finite:
        return None
    last = compact(finite[-1][1])
    kept = _thin(finite)
    values = [v for _, v in kept]
    is_log = _spans_decades(values)
    x = Axis(*_padded([s for s, _ in finite], 0.0), LEFT, WIDTH - RIGHT)
    limits = (min(values), max(values)) if is_log else _padded(values, 0.05)
    y = Axis(*limits, HEIGHT - BOTTOM, TOP, is_log)
    line = [(x.place(s), y.place(v)) for s, v in kept]
    smooth = _smoothed(line) if len(line) >= SMOOTH_FROM else []
    return Chart(
        name=name,
        raw=_svg(line),
        smooth=_svg(smooth),
        end=(smooth or line)[-1],
        last=last,
        x_ticks=x.ticks(),
        y_ticks=y.ticks(),
        is_log=is_log,
    )


def compact(value: float, largest: float | None = None) -> str:
    """1234567 -> '1.23M', 20000 -> '20k', 0.00001 -> '1e-05'.

    `largest` chooses the unit for all labels of an axis; without it the value does.
    """
    size = abs(value if largest is None else largest)
    for unit, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if size >= max(unit, 1e4):
            return f"{value / unit:.3g}{suffix}" if value else "0"
    return f"{value:.4g}"


def _spans_decades(values: Sequence[float]) -> bool:
    """Whether most of a positive curve, not only its ends, would be squashed.

    A learning rate that decays to nothing at the very end stays linear.
    """
    ordered = sorted(values)
    tail = len(ordered) // 10
    low, high = ordered[tail], ordered[-1 - tail]
    return ordered[0] > 0 and high / low > LOG_FROM


def _padded(values: Sequence[float], share: float) -> tuple[float, float]:
    """The range of values with air around it, never empty."""
    low, high = min(values), max(values)
    air = share * (high - low)
    if high - low <= 1e-9 * max(abs(low), abs(high), 1e-30):
        air = abs(low) / 2 or 1.0  # one point, or a constant, sits in the middle
    return low - air, high + air


def _round_steps(low: float, high: float) -> list[float]:
    """Three to six multiples of 1, 2 or 5 times a power of ten."""
    power = 10 ** math.floor(math.log10((high - low) / 5))
    step = next(m * power for m in (1, 2, 5, 10) if (high - low) / (m * power) <= 6.5)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{i * step:.12g}") for i in range(first, last + 1)]


def _decades(low: float, high: float) -> list[float]:
    """Powers of ten, at most six of them."""
    first, last = math.ceil(math.log10(low)), math.floor(math.log10(high))
    stride = max(1, math.ceil((last - first + 1) / 6))
    return [10.0**power for power in range(first, last + 1, stride)]


def _thin(points: list[Point]) -> list[Point]:
    """Means of equal runs, where there are more points than the width can show."""
    run = math.ceil(len(points) / MOST_POINTS)
    runs = [points[i : i + run] for i in range(0, len(points), run)]
    return [
        (sum(s for s, _ in r) / len(r), sum(v for _, v in r) / len(r)) for r in runs
    ]


def _smoothed(line: list[Point]) -> list[Point]:
    """A centred mean over a twentieth of the curve, cut off at its ends."""
    reach = max(1, len(line) // 40)
    smooth = []
    for i, (x, _) in enumerate(line):
        window = line[max(0, i - reach) : i + reach + 1]
        smooth.append((x, round(sum(y for _, y in window) / len(window), 1)))
    return smooth


def _svg(line: list[Point]) -> str:
    return " ".join(f"{x:g},{y:g}" for x, y in line)


def series(rows: Iterable[dict]) -> dict[str, list[tuple[int, float]]]:
    """Metric rows as one series a metric, the loss first."""
    found: dict[str, list[tuple[int, float]]] = {"loss": []}
    for row in rows:
        for name, value in row.items():
            if name not in ("step", "timing", "samples") and value is not None:
                found.setdefault(name, []).append((row["step"], value))
    return {name: points for name, points in found.items() if points}
