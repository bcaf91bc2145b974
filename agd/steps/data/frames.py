"""Tables that are in memory, such as pandas' DataFrames: read as a file of the same rows would be."""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from agd.errors import InputError
from agd.registry import suggestion
from agd.steps.data.tabular import Source, SourceRow

NAME: Final = "a table in memory"


def source_of(table: Any, formula_column: str, value_column: str | None, where: Mapping[str, str]) -> Source:
    """The rows of a table with named columns (a DataFrame, a mapping of lists); the first row is line 1.

    Raises:
        InputError: it has no such column, or the columns differ in length.
    """
    formulas = _column(table, formula_column)
    values = None if value_column is None else _column(table, value_column)
    conditions = [([_text(one) for one in _column(table, name)], wanted) for name, wanted in where.items()]
    if any(len(column) != len(formulas) for column in (values or formulas, *(column for column, _ in conditions))):
        raise InputError(f"the columns of {NAME} differ in length")
    is_wanted = [all(column[i] == wanted for column, wanted in conditions) for i in range(len(formulas))]
    rows = [
        SourceRow(i + 1, _text(formulas[i]), None if values is None else _text(values[i]))
        for i in range(len(formulas))
        if is_wanted[i]
    ]
    digest = hashlib.sha256("\n".join(f"{row.line}\t{row.formula}\t{row.value}" for row in rows).encode()).hexdigest()
    return Source(NAME, digest, rows, [], n_left_out=len(formulas) - len(rows))


def _column(table: Any, name: str) -> Sequence[Any]:
    known = [str(one) for one in table]
    if name not in known:
        raise InputError(f"{NAME} has no column {name!r}{suggestion(name, known)}")
    column: Iterable[Any] = table[name]
    return list(column)


def _text(value: Any) -> str:
    """A cell as a file would hold it: nothing for None and for what is not a number but a float."""
    if value is None or (isinstance(value, float) and math.isnan(value)) or str(value) == "<NA>":
        return ""
    return repr(float(value)) if isinstance(value, float) else str(value)
