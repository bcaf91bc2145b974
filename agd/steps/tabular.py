"""Reading a table of formulas and values: CSV or JSON lines, plain, gzipped or from standard input."""

import csv
import gzip
import hashlib
import io
import json
import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple, TypeAlias

from agd.errors import InputError
from agd.registry import suggestion


class SourceRow(NamedTuple):
    """One row as it stands in the source; the value is text, None where no value column was asked for."""

    line: int
    formula: str
    value: str | None


class Broken(NamedTuple):
    """A line that is no row at all, and why."""

    line: int
    text: str
    why: str


Line: TypeAlias = tuple[int, dict[str, str]] | Broken
"""A line with its fields by column, or one that has none."""


@dataclass(frozen=True, slots=True)
class Source:
    """A table that was read: its bytes' hash, its rows, the lines that are none, and how many were not wanted."""

    name: str
    sha256: str
    rows: list[SourceRow]
    broken: list[Broken]
    n_left_out: int = 0


Where: TypeAlias = Mapping[str, str]
"""The text that columns must hold, exactly, in the rows that are wanted."""


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


def read_source(path: Path, formula_column: str, value_column: str | None, where: Where | None = None) -> Source:
    """Read every row that is wanted; `-` is standard input. The format follows from the name, or the first character.

    Raises:
        InputError: the file cannot be read, a column is not in it, or no row is wanted.
    """
    raw = _read_bytes(path)
    text = _decode(path, raw)
    is_json = is_json_lines(path, text)
    source = Source(path.name, hashlib.sha256(raw).hexdigest(), [], [])
    wanted = [formula_column] if value_column is None else [formula_column, value_column]
    lines = io.StringIO(text, newline="")
    every = json_lines(lines) if is_json else csv_lines(path, lines)
    sieve = _Sieve(path, where or {})
    for row in sieve.rows(every):
        if isinstance(row, Broken):
            source.broken.append(row)
            continue
        line, fields = row
        missing = next((column for column in wanted if column not in fields), None)
        if missing is not None and not is_json:
            raise InputError(f"{path}: no column {missing!r}{suggestion(missing, list(fields))}")
        if missing is not None:
            why = f"no key {missing!r}{suggestion(missing, list(fields))}"
            source.broken.append(Broken(line, json.dumps(fields), why))
            continue
        source.rows.append(SourceRow(line, fields[formula_column], fields[value_column] if value_column else None))
    if not source.rows and not source.broken:
        raise InputError(f"{path}: holds no rows")
    return replace(source, n_left_out=sieve.n_left_out)


@dataclass(slots=True)
class _Sieve:
    """Lets the wanted rows through, and every line that is no row; a JSON object may lack a column that others have."""

    path: Path
    where: Where
    n_left_out: int = 0
    _columns: dict[str, None] = field(default_factory=dict)

    def rows(self, every: Iterable[Line]) -> Iterator[Line]:
        n_wanted = 0
        for row in every:
            if isinstance(row, Broken):
                yield row
                continue
            self._columns.update(dict.fromkeys(row[1]))
            if all(row[1].get(column) == value for column, value in self.where.items()):
                n_wanted += 1
                yield row
            else:
                self.n_left_out += 1
        for column in self.where if self._columns else ():
            if column not in self._columns:
                raise InputError(f"{self.path}: no column {column!r}{suggestion(column, list(self._columns))}")
        if self.n_left_out and not n_wanted:
            words = " and ".join(f"{column} = {value!r}" for column, value in self.where.items())
            raise InputError(f"{self.path}: no row has {words} ({self.n_left_out:,} rows read)")


def read_formulas(path: Path, formula_column: str) -> list[SourceRow]:
    """The formulas of a file that lists compositions; a broken line is an error here."""
    source = read_source(path, formula_column, None)
    for line, _, why in source.broken:
        raise InputError(f"{path}:{line}: {why}")
    return source.rows


def _read_bytes(path: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


def _decode(path: Path, raw: bytes) -> str:
    try:
        if raw[:2] == b"\x1f\x8b":
            raw = gzip.decompress(raw)
        return raw.decode("utf-8-sig")
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: not a whole gzip file ({error})") from error
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path}:{line}: byte {raw[error.start]:#04x} is not UTF-8: save the file as UTF-8 and import it again"
        ) from error


def is_json_lines(path: Path, beginning: str) -> bool:
    """Whether a table is JSON lines: by its name, or by how it begins where it comes from standard input."""
    is_named = path.name.removesuffix(".gz").endswith((".jsonl", ".ndjson", ".json"))
    return is_named or (path.name == "-" and beginning.lstrip().startswith("{"))


def csv_lines(path: Path, lines: Iterable[str]) -> Iterator[Line]:
    """The rows under a header, read as they are asked for; raises InputError where it is not CSV at all."""
    reader = csv.reader(lines, strict=True)
    try:
        header = next(reader, None)
        if header is None:
            raise InputError(f"{path}: is empty")
        names = [name.strip() for name in header]
        if (twice := next((name for name in names if names.count(name) > 1), None)) is not None:
            raise InputError(f"{path}:1: column {twice!r} stands twice in the header: rename one of them")
        after = reader.line_num
        for fields in reader:
            line, after = after + 1, reader.line_num
            if not fields:
                continue
            if len(fields) != len(names):
                why = f"{len(fields)} fields where the header has {len(names)}"
                yield Broken(line, ",".join(fields), why)
                continue
            yield line, dict(zip(names, fields, strict=True))
    except csv.Error as error:
        raise InputError(f"{path}:{reader.line_num}: not valid CSV ({error})") from error


def _as_text(value: object) -> str:
    """A JSON value as it is written, a string without its quotes."""
    if value is None:
        return ""
    return json.dumps(value) if isinstance(value, bool) else str(value)


def json_lines(lines: Iterable[str]) -> Iterator[Line]:
    """One JSON object a line, read as they are asked for."""
    for line, content in enumerate(lines, start=1):
        text = content.strip("\r\n")
        if not text.strip():
            continue
        try:
            fields = json.loads(text)
        except json.JSONDecodeError as error:
            yield Broken(line, text, f"not valid JSON ({error.msg})")
            continue
        if not isinstance(fields, dict):
            yield Broken(line, text, "not a JSON object")
            continue
        yield line, {key: _as_text(value) for key, value in fields.items()}
