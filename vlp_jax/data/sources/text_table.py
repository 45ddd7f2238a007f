"""Texts with a class each: a CSV, TSV or JSON-lines file, without pictures."""

from collections.abc import Sequence
from pathlib import Path

from vlp_jax.core.errors import BadSample, ConfigError
from vlp_jax.core.lookup import lookup
from vlp_jax.core.types import Example
from vlp_jax.data.captions import clean_caption
from vlp_jax.data.class_names import named_classes
from vlp_jax.data.fingerprint import digest
from vlp_jax.data.tables import TABLES, cell


class TextTable:
    """A random-access source of the rows of a table, which is kept in memory.

    Args:
      root: the file: .csv or .tsv with a header, or .jsonl.
      text_column, label_column: what the columns are called.
      class_names: the classes in their order, a text file of them, or the name of a
        set; None: the values of the label column by the alphabet. Give them where a
        second split may lack one.
    """

    def __init__(
        self,
        root: str,
        text_column: str = "text",
        label_column: str = "label",
        class_names: str | Sequence[str] | None = None,
    ):
        path = Path(root).expanduser()
        if not path.is_file():
            raise ConfigError(f"text_table: no file {str(path)!r}; give root=FILE.csv")
        read = lookup(TABLES, path.suffix.lower(), f"kind of table ({path})")
        self.rows: list[tuple[str, str]] = []
        for number, row in read(path):
            where = f"{path}, line {number}"
            text, label = (
                cell(row, column, where, "text_column and label_column")
                for column in (text_column, label_column)
            )
            if label is None or not str(label).strip():
                raise ConfigError(f"{where}: no label; give every text its class")
            self.rows.append((str(text or ""), str(label).strip()))
        found = sorted({label for _, label in self.rows})
        self.class_names = named_classes(class_names) or tuple(found)
        unknown = [label for label in found if label not in self.class_names]
        if unknown:
            raise ConfigError(
                f"{path}: the label {unknown[0]!r} is none of class_names "
                f"({', '.join(self.class_names[:5])}, ...)"
            )
        self.path, self.name = path, f"text_table/{path.stem}"
        self.fingerprint = {path.name: digest(self.rows, self.class_names)}

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Example:
        text, label = self.rows[index]
        try:
            caption = clean_caption(text)
        except BadSample as error:
            error.add_note(f"{self.name}/{index}")
            raise
        return Example(
            image=b"",  # there is none: whoever wants a picture counts it as missing
            captions=(caption,),
            label=self.class_names.index(label),
            name=f"{self.name}/{index}",
        )
