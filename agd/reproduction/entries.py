"""Entries of the Materials Project, as the judges of our own pages read them."""

import csv
import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from agd.errors import InputError

_UNCERTAIN_SOURCE: Final = "cell"
"""Entries matched by their cell's formula alone: of doubtful values."""


def entries(path: Path, columns: Sequence[str]) -> list[tuple[str, tuple[float, ...]]]:
    """Formula, and the value of each column, of the entries of a table that have them all.

    Raises:
        InputError: it has no such columns, or a value is no number.
    """
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        try:
            return [
                (row["formula"], tuple(float(row[column]) for column in columns))
                for row in reader
                if all(row[column] for column in columns) and row["label_src"] != _UNCERTAIN_SOURCE
            ]
        except (KeyError, ValueError) as error:
            raise InputError(
                f"{path}:{reader.line_num}: not a row of formula, label_src, {', '.join(columns)} ({error})"
            ) from error
