"""The fault matrix: which tests show what, and the table that says how often they did.

A test names its fault with `@pytest.mark.fault("F3")`. A run of pytest prints the
counts; with --fault-table=docs/reliability.md it writes them there, between the two
comments that mark the place.

    bash launch/test.sh --all -m fault --fault-table=docs/reliability.md
"""

import datetime
import re
from collections import Counter, defaultdict
from pathlib import Path

START, END = "<!-- fault matrix -->", "<!-- end of the fault matrix -->"

FAULTS = {
    "F1": "kill -9 at random moments, during saves too",
    "F2": "SIGTERM to one of two processes",
    "F3": "SIGTERM to one process alone, and a second one",
    "F4": "kill -9 of one of two processes",
    "F5": "kill -9 of one of two processes in the middle of a save",
    "F6": "the number of processes changes between runs, 2 -> 4 -> 1 -> 2",
    "F7": "bit flip, truncation or deletion in the newest checkpoint",
    "F8": "disk full or not writable during a save",
    "F9": "one non-finite gradient",
    "F10": "non-finite gradients step after step",
    "F11": "corrupt pictures, empty files, HTML, bad UTF-8, missing members, bombs",
    "F12": "a data worker is killed",
    "F13": "a shard vanishes, is truncated, or changes between runs",
    "F14": "a process hangs",
    "F15": "two launches on one workdir",
    "F16": "the config changes on resume",
    "F17": "metrics across resumes",
    "F18": "evaluation while training writes or deletes",
    "F19": "prepare or extract is interrupted: no shard that is not whole",
    "F20": "hostile inputs",
}


def collected(items) -> None:
    """Each test takes its faults along; its report may come from another process."""
    for item in items:
        names = {mark.args[0] for mark in item.iter_markers("fault")}
        unknown = names - FAULTS.keys()
        assert not unknown, f"{item.nodeid}: no such fault {unknown}"
        item.user_properties.extend(("fault", name) for name in sorted(names))


class Counts:
    """Outcomes of the tests of this run, by fault."""

    def __init__(self):
        self.found: dict[str, Counter] = defaultdict(Counter)

    def reported(self, report) -> None:
        """A test counts once: by its call, or by the phase that ended it before."""
        if report.when == "call" or (report.when == "setup" and not report.passed):
            for kind, name in report.user_properties:
                if kind == "fault":
                    self.found[name][report.outcome] += 1

    def line(self, name: str) -> str:
        counts = self.found.get(name)
        if not counts:
            return "no test was run"
        others = (f", {n} {kind}" for kind, n in counts.items() if kind != "passed")
        return f"{counts['passed']} passed" + "".join(sorted(others))


def table(counts: Counts) -> str:
    """The matrix as Markdown, with the day and the counts of this run."""
    rows = [
        f"Counts of the run of {datetime.date.today()}:",
        "",
        "| | fault | tests |",
        "|---|---|---|",
        *(
            f"| {name} | {what} | {counts.line(name)} |"
            for name, what in FAULTS.items()
        ),
    ]
    return "\n".join(rows)


def write_table(path: Path, counts: Counts) -> None:
    text = path.read_text()
    place = re.compile(f"{re.escape(START)}.*?{re.escape(END)}", re.DOTALL)
    assert place.search(text), f"{path} has no place for the fault matrix"
    new = f"{START}\n{table(counts)}\n{END}"
    path.write_text(place.sub(lambda _: new, text))
