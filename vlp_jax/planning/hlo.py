"""The collectives of a compiled program, read from its text (HLO).

A computation counts as often as it runs: loops count their iterations where the text
says how many. The text of one asynchronous collective may stand in several
computations (start, steps in between, done); only the start counts.
"""

import collections
import dataclasses
import math
import re

KINDS = (
    "all-reduce",
    "all-gather",
    "reduce-scatter",
    "all-to-all",
    "collective-permute",
    "collective-broadcast",
)
BITS = {"pred": 8, "bf16": 16, "f16": 16, "f32": 32, "f64": 64, "c64": 64, "c128": 128}

_HEADER = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\{\s*$")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?([\w.\-]+) = (.*)$")
_OPERATION = re.compile(r"(?:^|\s)([a-z][a-z0-9\-]*)\(")
_SHAPE = re.compile(r"\b([a-z]\w*)\[([\d,]*)\]")
_CALLED = re.compile(r"\b(?:calls|to_apply|body|called_computations)=\{?%?([\w.\-]+)")
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")


@dataclasses.dataclass(frozen=True)
class Collective:
    """All collectives of a kind over groups of one size.

    count: how often one step starts them. bytes: of their results on one device.
    """

    kind: str
    group: int
    count: int
    bytes: float

    @property
    def sent(self) -> float:
        """Bytes that a device sends, by the best algorithms on a ring."""
        share = (self.group - 1) / self.group
        factor = {
            "all-reduce": 2 * share,
            "all-gather": share,
            "reduce-scatter": self.group - 1,  # the result is one part of what it sums
            "all-to-all": share,
            "collective-permute": 1.0,
            "collective-broadcast": 1.0,
        }
        return self.bytes * factor[self.kind]


@dataclasses.dataclass(frozen=True)
class Found:
    """The collectives of a program and whether every loop said how long it is."""

    collectives: tuple[Collective, ...]
    unknown_loops: int


def collectives(text: str, devices: int) -> Found:
    """Sums the collectives of a module that runs on `devices` devices."""
    computations, entry = _computations(text)
    count, size = collections.Counter(), collections.Counter()
    unknown = 0

    def visit(name: str, times: int) -> None:
        nonlocal unknown
        for instruction, operation, line in computations.get(name, ()):
            kind = operation.removesuffix("-start")
            if kind in KINDS:
                key = kind, _group_size(line, devices)
                count[key] += times
                size[key] += times * _result_bytes(line, operation)
            if operation == "while":
                trips = _trip_count(line, computations)
                unknown += trips is None
                visit(_CALLED.search(line)[1], times * (trips or 1))
            elif operation in ("fusion", "call", "async-start"):
                # Of an asynchronous collective, later fusions repeat the text.
                called = _CALLED.search(line)
                goes_on = "async_collective" in called[1] if called else True
                if not goes_on and "async-collective-done" not in instruction:
                    visit(called[1], times)
            elif operation == "conditional":
                branches = _BRANCHES.search(line)
                for branch in branches[1].split(",") if branches else ():
                    visit(branch.strip().lstrip("%"), times)

    visit(entry, 1)
    found = (Collective(*key, count[key], size[key]) for key in sorted(count))
    return Found(tuple(found), unknown)


def _computations(text: str) -> tuple[dict[str, list[tuple[str, str, str]]], str]:
    """({computation: [(instruction, operation, text)]}, the entry's name)."""
    found: dict[str, list[tuple[str, str, str]]] = {}
    entry, current = "", []
    for line in text.splitlines():
        header = _HEADER.match(line)
        if header and " = " not in line.split("(")[0]:
            current = found.setdefault(header[2], [])
            entry = header[2] if header[1] else entry
            continue
        instruction = _INSTRUCTION.match(line)
        operation = _OPERATION.search(_without_layouts(line)) if instruction else None
        if operation:
            current.append((instruction[1], operation[1], line))
    return found, entry


def _without_layouts(line: str) -> str:
    """Layouts such as {1,0:T(8,128)} look like calls; off with them."""
    return re.sub(r"\{[\d,]*(?::[^{}]*)?\}", "", line.partition(" = ")[2])


def _result_bytes(line: str, operation: str) -> float:
    """Bytes of an instruction's result, without the operands a start carries along."""
    result = line.partition(" = ")[2].split(f" {operation}(")[0]
    shapes = [_bytes(*shape) for shape in _SHAPE.findall(result)]
    if operation in ("all-gather-start", "collective-permute-start"):
        # (operands, results, and for a permute two counters): equally many of both.
        shapes = [size for size in shapes if size > 4] or shapes
        shapes = shapes[len(shapes) // 2 :]
    return sum(shapes)


def _bytes(dtype: str, dimensions: str) -> float:
    bits = BITS.get(dtype)
    if bits is None:
        width = re.search(r"\d+", dtype)
        bits = int(width[0]) if width else 0  # a token has none
    return math.prod(int(n) for n in dimensions.split(",") if n) * bits / 8


def _group_size(line: str, devices: int) -> int:
    """Devices that take part in one collective: the text has four notations."""
    mesh = re.search(r"replica_groups=mesh\[([^\]]*)\]\s*\{([^}]*)\}", line)
    if mesh:
        sizes = dict(re.findall(r"'([^']+)'=(\d+)", mesh[1]))
        return math.prod(int(sizes[axis]) for axis in re.findall(r"'([^']+)'", mesh[2]))
    tiled = re.search(r"replica_groups=\[(\d+),(\d+)\]", line)
    if tiled:
        return int(tiled[2])
    listed = re.search(r"replica_groups=\{\{([\d,]*)\}", line)
    if listed:
        return listed[1].count(",") + 1
    return devices


def _trip_count(line: str, computations) -> int | None:
    """Iterations of a loop: as noted, else the bound its condition compares with."""
    noted = re.search(r'known_trip_count\D*"n":"(\d+)"', line)
    if noted:
        return int(noted[1])
    condition = re.search(r"condition=%?([\w.\-]+)", line)
    body = computations.get(condition[1], ()) if condition else ()
    constants = [
        re.search(r"constant\((\d+)\)", text)
        for _, op, text in body
        if op == "constant"
    ]
    compares = any("direction=LT" in text for _, op, text in body if op == "compare")
    if compares and len(constants) == 1 and constants[0]:
        return int(constants[0][1])
    return None
