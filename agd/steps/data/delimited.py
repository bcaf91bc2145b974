"""Rows of text whose columns are separated: commas, or semicolons, tabs, bars, as spreadsheets of the world write them.

No sniffing: the separator is the one under which the columns that are asked for stand in the header.
"""

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from operator import itemgetter
from pathlib import Path
from typing import Final, TypeAlias

from agd.errors import InputError
from agd.steps.data.cells import MAX_CELL, Broken, Line, Selection, first_undecoded, hint, normalised, not_utf8, shown
from agd.steps.data.containers import MAX_LINE

_SEPARATORS: Final = (",", ";", "\t", "|")
_WORDS: Final = {";": "semicolons", "\t": "tabs", "|": "bars"}
_SEP_LINE: Final = re.compile(r'"?sep=([^\w\s"]|\t)"?[,;\t]*', re.IGNORECASE)
_MAX_HEADER_LINES: Final = 100

Fits: TypeAlias = Callable[[Sequence[str]], bool]
"""Whether the columns that are looked for are among these names."""


@dataclass(frozen=True, slots=True)
class Header:
    """The names of the columns, and how they are told apart; `n_lines` end with the header."""

    names: list[str]
    separator: str
    n_lines: int
    is_fit: bool
    skips_spaces: bool = False

    @property
    def words(self) -> str | None:
        """How the columns are separated, where it is not by commas."""
        return None if self.separator == "," else _WORDS.get(self.separator, repr(self.separator))


@dataclass(slots=True)
class Beginning:
    """The lines before the first that means something: how many, and what they say."""

    n_lines: int = 0
    first: str | None = None
    separator: str | None = None
    comment: str | None = None


def beginning(lines: Iterator[str]) -> Beginning:
    """Read up to the first line that is no blank line, no comment and no `sep=` line; it is counted."""
    found = Beginning()
    for line in lines:
        found.n_lines += 1
        if not line.strip():
            continue
        if found.separator is None and (sep := _SEP_LINE.fullmatch(line.rstrip("\r\n"))) is not None:
            found.separator = sep[1]
        elif line.lstrip().startswith("#"):
            found.comment = line
        else:
            found.first = line
            return found
    return found


def find_header(path: Path, start: Beginning, lines: Iterator[str], fits: Fits) -> tuple[Header, Iterator[str]]:
    """The header and the lines after it.

    A comment is the header where it names what is looked for and the line after it does not (`# formula,Eg`).

    Raises:
        InputError: the file is empty.
    """
    if start.first is None and start.comment is None:
        raise InputError(f"{path}: is empty")
    header, lines = _header(start.first or "", start, lines, fits)
    if not header.is_fit and start.comment is not None:
        text = start.comment.lstrip()
        for named in (text.lstrip("#"), text):
            made, _ = _header(named, start, iter(()), fits)
            if made.is_fit:
                n_lines = start.n_lines - (start.first is not None)
                header = Header(made.names, made.separator, n_lines, is_fit=True, skips_spaces=made.skips_spaces)
                return header, chain([start.first] if start.first is not None else [], lines)
    if start.first is None:
        raise InputError(f"{path}: holds comments alone")
    return header, lines


def _header(first: str, start: Beginning, lines: Iterator[str], fits: Fits) -> tuple[Header, Iterator[str]]:
    """The header under the separator that fits, else under the one that makes most columns."""
    read, best = [first], Header([], ",", start.n_lines, is_fit=False)
    separators = _SEPARATORS if start.separator is None else (start.separator,)
    while True:
        is_open = False
        for skips_spaces in (False, True):
            for separator in separators:
                try:
                    cells = next(csv.reader(read, delimiter=separator, strict=True, skipinitialspace=skips_spaces))
                except csv.Error as error:  # a quoted name may go on in the next line
                    is_open |= "unexpected end" in str(error)
                    continue
                made = Header(
                    [normalised(cell) for cell in cells],
                    separator,
                    start.n_lines + len(read) - 1,
                    is_fit=False,
                    skips_spaces=skips_spaces,
                )
                if fits(made.names):
                    return Header(made.names, separator, made.n_lines, is_fit=True, skips_spaces=skips_spaces), lines
                best = max(best, made, key=lambda header: len(header.names))
        more = list(islice(lines, 1)) if is_open and len(read) < _MAX_HEADER_LINES else []
        if not more:
            if not best.names:  # quoted as no CSV is: as it stands
                best = Header(first.strip().split(separators[0]), separators[0], start.n_lines, is_fit=False)
                lines = chain(read[1:], lines)
            return best, lines
        read += more


def rows(path: Path, header: Header, lines: Iterator[str], selection: Selection) -> Iterator[Line]:
    """The wanted rows and every line that is no row, read as they are asked for.

    Raises:
        InputError: a column is missing or ambiguous, a quotation mark is never closed, or a wanted cell is no UTF-8.
    """
    if not set(selection.names) <= set(header.names):
        _refuse_later_header(path, header, lines, selection)
    pick = _picker(path, header, selection)
    csv.field_size_limit(MAX_LINE)
    n, n_columns = len(header.names), len(selection.columns)
    for record in _records(path, header, lines):
        if isinstance(record, Broken):
            yield record
            continue
        line, fields = record
        if len(fields) != n and (broken := _misfit(line, fields, header)) is not None:
            if any(map(str.strip, fields)):  # else a line of spaces or separators, as spreadsheets leave them
                yield broken
            continue
        cells = pick(fields)
        text = "".join(cells)
        if not text.strip() and not any(map(str.strip, fields)):
            continue
        if (len(text) > MAX_CELL or not text.isascii()) and (doubt := selection.doubt(line, cells)) is not None:
            yield doubt
        elif not selection.where or selection.is_wanted(cells[n_columns:]):
            yield line, cells
    selection.require_found(header.names)


def _records(path: Path, header: Header, lines: Iterator[str]) -> Iterator[tuple[int, list[str]] | Broken]:
    """The cells of each row with the line where it begins; a reader that met an error goes on in the next line."""
    reader = csv.reader(lines, delimiter=header.separator, strict=True, skipinitialspace=header.skips_spaces)
    after, is_done = header.n_lines, False
    while not is_done:
        try:
            for fields in reader:
                line, after = after + 1, header.n_lines + reader.line_num
                if fields:
                    yield line, fields
            is_done = True
        except csv.Error as error:
            line, after = after + 1, header.n_lines + reader.line_num
            yield _not_csv(path, line, after, error)


def _not_csv(path: Path, line: int, end: int, error: csv.Error) -> Broken:
    """The reject of one line; what spans several may have swallowed good rows, so it is an error."""
    if "unexpected end" in str(error):
        raise InputError(
            f"{path}:{line}: not valid CSV: a quotation mark opens a cell on this line and none closes it: "
            "close it, or double it"
        ) from error
    if end > line:
        raise InputError(f"{path}:{line}: not valid CSV from here to line {end} ({error}): check the quotation marks")
    return Broken(line, "", f"not valid CSV ({error})")


def _picker(path: Path, header: Header, selection: Selection) -> Callable[[Sequence[str]], tuple[str, ...]]:
    """What takes the wanted cells out of a row."""
    names, at = header.names, []
    for name in selection.names:
        if name not in names:
            _refuse_missing(path, header, name)
        if names.count(name) > 1:
            raise InputError(f"{path}:{header.n_lines}: column {name!r} stands twice in the header: rename one of them")
        at.append(names.index(name))
    if len(at) == 1:
        (i,) = at
        return lambda fields: (fields[i],)
    return itemgetter(*at)


def _refuse_later_header(path: Path, header: Header, lines: Iterator[str], selection: Selection) -> None:
    """Raise InputError where the columns stand in a line further down, below a title."""
    for n, line in enumerate(islice(lines, _MAX_HEADER_LINES), start=header.n_lines + 1):
        for separator in _SEPARATORS:
            cells = {normalised(cell).strip('"') for cell in line.split(separator)}
            if cells.issuperset(selection.names):
                raise InputError(
                    f"{path}: the columns stand on line {n}: delete the lines before it, or begin them with #"
                )


def _refuse_missing(path: Path, header: Header, name: str) -> None:
    names = header.names
    for cell in names:
        if (character := first_undecoded(cell)) is not None:
            not_utf8(path, header.n_lines, character)
    if any("\x00" in cell for cell in names):
        raise InputError(f"{path}:{header.n_lines}: the header holds null characters: this is no table of text")
    if len(names) == 1 and (words := _unknown_separator(names[0], name)) is not None:
        raise InputError(f"{path}:{header.n_lines}: the columns are separated by {words}: save the file as CSV")
    if any(_POINT.fullmatch(cell) for cell in names):
        raise InputError(f"{path}:{header.n_lines}: the first line must name the columns, and it is a row of values")
    raise InputError(f"{path}: no column {name!r}{hint(name, names)}")


def _unknown_separator(text: str, name: str) -> str | None:
    """What stands beside the name of a column in a header that no separator divides."""
    if name in text.split():
        return "spaces"
    found = re.match(rf"{re.escape(name)}\s*([^\w\s'\"(])", text) or re.search(rf"([^\w\s])\s*{re.escape(name)}$", text)
    return None if found is None else repr(found[1])


def _misfit(line: int, fields: Sequence[str], header: Header) -> Broken | None:
    """Why a row of another length than the header is none; empty cells at the end of either are no matter."""
    n = len(header.names)
    if not any(header.names[len(fields) :]) and not any(map(str.strip, fields[n:])):
        return None
    text = header.separator.join(map(shown, fields[:100]))
    if fields[0].lstrip().startswith("#"):
        return Broken(line, shown(text), "a comment, not a row")
    why = f"{len(fields)} fields where the header has {n}"
    return Broken(line, shown(text), why)


def decimal_commas(texts: Iterable[str]) -> bool:
    """Whether the numbers of a column that commas do not separate are written with decimal commas.

    They are where some comma can be nothing else (`8,5`, not `1,234`) and no point can be nothing else.
    """
    has_comma = False
    for text in texts:
        if "." in text and _POINT.fullmatch(text) and not _THOUSANDS_BY_POINT.fullmatch(text):
            return False
        has_comma |= "," in text and bool(COMMA.fullmatch(text)) and not _THOUSANDS.fullmatch(text)
    return has_comma


COMMA: Final = re.compile(r"\s*[-+]?\d*,\d+(e[-+]?\d+)?\s*", re.IGNORECASE | re.ASCII)
"""A number with one comma where a decimal point could be."""

_POINT: Final = re.compile(r"\s*[-+]?(\d+\.\d*|\.\d+)(e[-+]?\d+)?\s*", re.IGNORECASE | re.ASCII)
_THOUSANDS: Final = re.compile(r"\s*[-+]?[1-9]\d{0,2}(,\d{3})+\s*", re.ASCII)
_THOUSANDS_BY_POINT: Final = re.compile(r"\s*[-+]?[1-9]\d{0,2}(\.\d{3})+\s*", re.ASCII)
NUMBER_WITH_MARKS: Final = re.compile(r"\s*[-+]?\d[\d.,' \u00a0\u202f]*(e[-+]?\d+)?\s*", re.IGNORECASE | re.ASCII)
"""A number with decimal or thousands marks of some kind."""
