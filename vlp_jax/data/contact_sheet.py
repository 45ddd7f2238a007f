"""One HTML page that shows a dataset: numbers, histograms, samples, broken ones."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vlp_jax.core.logs import shortened
from vlp_jax.core.pages import data_uri, render, write_text
from vlp_jax.data.check import BAD_SHOWN, Survey, histogram

TEMPLATE = Path(__file__).parent / "assets" / "contact_sheet.html"
CAPTION_SHOWN = 300  # characters; a page that was scraped whole would fill the sheet


def write_sheet(
    folder: Path, title: str, surveys: Mapping[str, Survey], facts: Mapping[str, str]
) -> tuple[Path, Path]:
    """Writes data.json and contact_sheet.html; each whole or not at all.

    surveys: by the name of the source; facts: what the reader should know first.
    """
    numbers = {name: survey.numbers() for name, survey in surveys.items()}
    data, page = folder / "data.json", folder / "contact_sheet.html"
    text = json.dumps({"facts": dict(facts), "sources": numbers}, indent=2)
    write_text(data, text + "\n")
    sections = [
        _section(name, survey, numbers[name]) for name, survey in surveys.items()
    ]
    write_text(page, render(TEMPLATE, title=title, facts=facts, sections=sections))
    return data, page


def lines(survey: Survey) -> Iterator[str]:
    """What there is to say about a source, for the terminal."""
    found = survey.numbers()
    yield f"{found['usable']:,} of {found['walked']:,} samples can be used"
    for cause, bad in found["bad samples"].items():
        yield f"{bad['count']:,} {cause}: {', '.join(bad['some'])}"
    for what, values in found["distributions"].items():
        told = (f"{key} {plain(value)}" for key, value in values.items())
        yield f"{what + ':':21} {', '.join(told)}"
    yield f"{found['total bytes'] / 1e6:,.1f} MB of pictures"
    copies = found["copies of pictures"]
    some = "".join(f"; {name} = {first}" for name, first in copies["some"])
    yield f"{copies['count']:,} pictures are copies of others{some}"
    repeated, captions = found["repeated captions"], found["captions"]
    yield f"{repeated:,} of {captions:,} captions are repeated"


def _section(name: str, survey: Survey, numbers: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "numbers": numbers,
        "charts": [
            _chart(what, survey.values[what], found)
            for what, found in numbers["distributions"].items()
        ],
        "shown": [
            {
                "name": good.name,
                "size": f"{good.width} x {good.height}",
                "picture": data_uri(good.shown[0]),
                "captions": [shortened(text, CAPTION_SHOWN) for text in good.shown[1]],
            }
            for good in survey.shown
        ],
        "bad": [
            {
                "name": bad.name,
                "cause": bad.cause,
                "detail": shortened(bad.detail, CAPTION_SHOWN),
            }
            for bad in survey.bad_shown[:BAD_SHOWN]
        ],
    }


def _chart(what: str, values: list[float], found: dict[str, float]) -> dict[str, Any]:
    bars = histogram(values)
    most = max(count for _, _, count in bars)
    return {
        "name": what,
        "found": {key: plain(value) for key, value in found.items()},
        "bars": [
            {
                "share": round(count / most, 4),
                "label": f"{plain(low)} to {plain(high)}: {count:,}",
            }
            for low, high, count in bars
        ],
        "low": plain(bars[0][0]),
        "high": plain(bars[-1][1]),
    }


def plain(value: float) -> str:
    """'1,234' or '1.33'."""
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.2f}"
