"""Tables on disk, row by row: CSV and TSV with a header, and JSON lines."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path

from vlp_jax.core.errors import ConfigError
from vlp_jax.core.lookup import suggestion

Rows = Iterator[tuple[int, dict]]  # (line number, {column: value})


def text_lines(path: Path) -> Iterator[str]:
    """The lines of a UTF-8 file, with or without a byte order mark."""
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            try:
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                problem = f"{path}, line {number}: not UTF-8 ({error.reason})"
                raise ConfigError(f"{problem}; save the table as UTF-8") from error


def delimited_rows(path: Path) -> Rows:
    """Rows of a CSV or TSV; values are None where a row is short."""
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    reader = csv.DictReader(text_lines(path), delimiter=delimiter, strict=True)
    try:
        if not reader.fieldnames:
            raise ConfigError(f"{path} is empty; its first line must name the columns")
        for row in reader:
            if None in row:
                raise ConfigError(
                    f"{path}, line {reader.line_num}: more values than columns; put a "
                    f"caption that contains {delimiter!r} in double quotes"
                )
            yield reader.line_num, row
    except csv.Error as error:
        # line_num is that of the last good row: an open quote may swallow the file.
        problem = f"{path}, line {reader.line_num + 1}: {error}"
        raise ConfigError(f"{problem}; quote it, and double its quotes") from error


def json_rows(path: Path) -> Rows:
    for number, line in enumerate(text_lines(path), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"{path}, line {number}: not JSON ({error})") from error
        if not isinstance(row, dict):
            example = '{"image": "a.jpg", "caption": "a dog"}'
            raise ConfigError(f"{path}, line {number}: not an object such as {example}")
        yield number, row


TABLES = {".csv": delimited_rows, ".tsv": delimited_rows, ".jsonl": json_rows}


def cell(
    row: dict,
    column: str,
    where: str,
    settings: str = "image_column and caption_column",
):
    """The value of a column; `where` names the table and line in the error."""
    if column not in row:
        known = ", ".join(str(key) for key in row)
        raise ConfigError(
            f"{where}: no column {column!r}; the columns are: {known}; set "
            f"{settings}{suggestion(column, row)}"
        )
    return row[column]
