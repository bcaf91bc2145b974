"""Reading a table of formulas and values: what a file holds decides how it is read, not its name."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import BinaryIO, NamedTuple

from agd.errors import InputError
from agd.steps.data import delimited, json_rows, parquet_rows
from agd.steps.data.cells import Broken, Line, Selection, Where
from agd.steps.data.containers import OpenedFile, opened

_JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
_PACKED_SUFFIXES = (".gz", ".bz2", ".xz", ".zip")


class SourceRow(NamedTuple):
    """One row as it stands in the source; the value is text, None where no value column was asked for."""

    line: int
    formula: str
    value: str | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """A table that was read: its bytes' hash, its rows, the lines that are none, and how many were not wanted.

    `read_as` says how a separated table was understood, where it is not plain CSV.
    """

    name: str
    sha256: str
    rows: list[SourceRow]
    broken: list[Broken]
    n_left_out: int = 0
    read_as: str | None = None


def parse_where(given: Sequence[str]) -> dict[str, str]:
    """Conditions as they are given on the command line, `icsd=1`; raises InputError."""
    found: dict[str, str] = {}
    for pair in given:
        column, equals, value = pair.partition("=")
        if not equals or not column.strip():
            raise InputError(f"--where {pair}: write COLUMN=VALUE, for instance --where icsd=1")
        if column.strip() in found:
            raise InputError(f"--where {pair}: column {column.strip()!r} is given twice, and no row has two values")
        found[column.strip()] = value
    return found


@dataclass(frozen=True, slots=True)
class Table:
    """An opened table, which can be read as often as wanted; `separators` are words, None for commas and for JSON."""

    names: list[str]
    rows: Callable[[Selection], Iterator[Line]]
    separators: str | None = None


def table(file: OpenedFile, fits: delimited.Fits) -> Table:
    """The table in a file, its columns told apart so that those that are looked for are there, if that can be.

    Raises:
        InputError: the file holds nothing, or no text.
    """
    path = file.path
    if file.parquet is not None:
        return _parquet(path, file.parquet)
    lines = file.lines()
    start = delimited.beginning(lines)
    first = start.first or ""
    if json_rows.is_json(first) and json_rows.is_whole(first):
        return _json(file)
    header, _ = delimited.find_header(path, start, lines, fits)
    if not header.is_fit and (json_rows.is_json(first) or _is_named_json(path)):
        return _json(file)

    def rows(selection: Selection) -> Iterator[Line]:
        lines = file.lines()
        found, after = delimited.find_header(path, delimited.beginning(lines), lines, fits)
        return delimited.rows(path, found, after, selection)

    return Table(header.names, rows, header.words)


def _parquet(path: Path, file: BinaryIO) -> Table:
    return Table(parquet_rows.columns(path, file), partial(parquet_rows.rows, path, file))


def _json(file: OpenedFile) -> Table:
    def rows(selection: Selection) -> Iterator[Line]:
        lines = file.lines()
        start = delimited.beginning(lines)
        first = start.first or ""
        n_before = start.n_lines - 1
        by_line, after = json_rows.is_lines(first, lines)
        every = chain([first], after)
        if by_line:
            return json_rows.line_rows(every, n_before, selection)
        return json_rows.document_rows(file.path, every, n_before, selection)

    lines = file.lines()
    first = delimited.beginning(lines).first or ""
    return Table(json_rows.keys_of_first(file.path, lines, first), rows)


def _is_named_json(path: Path) -> bool:
    name = path.name.lower()
    for suffix in _PACKED_SUFFIXES:
        name = name.removesuffix(suffix)
    return name.endswith(_JSON_SUFFIXES)


def read_source(path: Path, formula_column: str, value_column: str | None, where: Where | None = None) -> Source:
    """Read every row that is wanted; `-` is standard input.

    Raises:
        InputError: the file cannot be read, a column is not in it, or no row is wanted.
    """
    columns = (formula_column,) if value_column is None else (formula_column, value_column)
    selection = Selection(path, columns, where or {})
    rows: list[SourceRow] = []
    broken: list[Broken] = []
    with opened(path) as file:
        found = table(file, lambda names: all(name in names for name in selection.names))
        for row in found.rows(selection):
            if isinstance(row, Broken):
                broken.append(row)
            else:
                rows.append(SourceRow(row[0], *row[1][: len(columns)]))
    if not rows and not broken:
        raise InputError(f"{path}: holds no rows")
    source = Source(path.name, file.sha256, rows, broken, selection.n_left_out)
    return source if value_column is None else _with_plain_numbers(source, found.separators)


def _with_plain_numbers(source: Source, separators: str | None) -> Source:
    """Decimal commas become points where they can be nothing else; a mark that may be either makes no number."""
    if not any("," in (row.value or "") for row in source.rows):
        return replace(source, read_as=separators and f"columns separated by {separators}")
    has_commas = separators is not None and delimited.decimal_commas(row.value or "" for row in source.rows)
    rows: list[SourceRow] = []
    broken = list(source.broken)
    for row in source.rows:
        value = row.value or ""
        if has_commas and delimited.COMMA.fullmatch(value):
            rows.append(row._replace(value=value.replace(",", ".")))
        elif ("," in value or (has_commas and "." in value)) and delimited.NUMBER_WITH_MARKS.fullmatch(value):
            why = f"the value {value.strip()!r} has a decimal or a thousands comma: write it with a decimal point alone"
            if has_commas:
                why = f"the value {value.strip()!r} has a point where the column has decimal commas"
            broken.append(Broken(row.line, row.formula, why, "not a number", value))
        else:
            rows.append(row)
    words = separators and f"columns separated by {separators}" + (" with decimal commas" if has_commas else "")
    return replace(source, rows=rows, broken=broken, read_as=words)


def read_formulas(path: Path, formula_column: str) -> list[SourceRow]:
    """The formulas of a file that lists compositions; a broken line is an error here."""
    source = read_source(path, formula_column, None)
    for line, _, why, *_ in source.broken:
        raise InputError(f"{path}:{line}: {why}")
    return source.rows
