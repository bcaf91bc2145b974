"""Pools: where a screening looks, read in chunks so that millions of formulas need little memory."""

import gzip
import hashlib
import io
import shutil
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from agd.chem.formula import parse_formulas
from agd.db import datasets, screenings
from agd.errors import InputError, NotFoundError
from agd.registry import suggestion
from agd.steps.tabular import Broken, Line, csv_lines, is_json_lines, json_lines
from agd.steps.workspace import Workspace

CHUNK = 32_768
"""Formulas that are in memory at a time."""

COLUMNS = ("composition", "formula", "pretty_formula")
"""Where formulas are looked for when no column is named."""

_STDIN = "-"
_BEGINNING = 4096
_BLOCK = 2**20


class Chunk(NamedTuple):
    """Rows of a pool: line, formula to read, formula as spelled; and how far the reading has come."""

    lines: list[int]
    formulas: list[str]
    spellings: list[str]
    n_broken: int
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Pool:
    """Formulas to choose from.

    `key` is what they are known by; `chunks` reads the rows in order, up to a number of them, as often as it is called.
    """

    source: str
    source_sha256: str
    key: str
    chunks: Callable[[int | None], Iterator[Chunk]]
    dataset_id: int | None = None
    formula_column: str | None = None


@contextmanager
def open_pool(workspace: Workspace, name: str, formula_column: str | None) -> Iterator[Pool]:
    """The file or the dataset of that name; `-` is standard input.

    Raises:
        InputError: it is both, the file cannot be read, or it has no such column.
        NotFoundError: it is neither.
    """
    path = Path(name)
    with workspace.database.read() as tx:
        found = datasets.find(tx, name=name)
        known = datasets.names(tx)
    is_file = name == _STDIN or path.is_file()
    if found is not None and is_file:
        raise InputError(f"--pool {name}: is a dataset and a file: write ./{name} for the file")
    if found is not None:
        if formula_column is not None:
            raise InputError(f"--formula-column {formula_column}: {name!r} is a dataset, whose formulas are known")
        key = f"dataset {found.recipe_sha256}"
        chunks = partial(_dataset_chunks, workspace, found.id)
        yield Pool(found.name, found.source_sha256, key, chunks, dataset_id=found.id)
        return
    if not is_file:
        if path.suffix or len(path.parts) > 1:
            raise InputError(f"--pool {name}: no such file")
        raise NotFoundError(f"--pool {name}: no file and no dataset of that name{suggestion(name, known)}")
    with _whole(path) as file:
        sha256 = _sha256(file)
        column = _column(path, file, formula_column)
        chunks = partial(_file_chunks, path, file, column)
        yield Pool(path.name, sha256, f"file {sha256} {column}", chunks, formula_column=column)


def _dataset_chunks(workspace: Workspace, dataset_id: int, limit: int | None) -> Iterator[Chunk]:
    with workspace.database.read() as tx:
        ids = screenings.dataset_ids(tx, dataset_id, limit)
    for start in range(0, len(ids), CHUNK):
        with workspace.database.read() as tx:
            rows = screenings.dataset_rows(tx, dataset_id, ids[start : start + CHUNK])
        yield Chunk(
            [row.line for row in rows],
            [row.reduced_formula for row in rows],
            [row.formula for row in rows],
            n_broken=0,
            done=min(start + CHUNK, len(ids)),
            total=len(ids),
        )


def _file_chunks(path: Path, file: BinaryIO, column: str, limit: int | None) -> Iterator[Chunk]:
    total = file.seek(0, io.SEEK_END)
    rows = islice(_lines(path, file), limit)
    while some := list(islice(rows, CHUNK)):
        good = [row for row in some if not isinstance(row, Broken) and column in row[1]]
        formulas = [fields[column] for _, fields in good]
        lines = [line for line, _ in good]
        done = total if len(some) < CHUNK else file.tell()
        yield Chunk(lines, formulas, formulas, n_broken=len(some) - len(good), done=done, total=total)


@contextmanager
def _whole(path: Path) -> Iterator[BinaryIO]:
    """The file, which can be read twice; standard input is kept aside for that."""
    if str(path) == _STDIN:
        with tempfile.TemporaryFile() as kept:
            shutil.copyfileobj(sys.stdin.buffer, kept)
            kept.seek(0)
            yield kept
        return
    try:
        file = path.open("rb")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    with file:
        yield file


def _sha256(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    while block := file.read(_BLOCK):
        digest.update(block)
    return digest.hexdigest()


def _column(path: Path, file: BinaryIO, wanted: str | None) -> str:
    """The column of the formulas, judged by the first row that has columns."""
    first = next((row for row in _lines(path, file) if not isinstance(row, Broken)), None)
    if first is None:
        raise InputError(f"{path}: holds no rows")
    names = list(first[1])
    if wanted is not None:
        if wanted not in names:
            raise InputError(f"{path}: no column {wanted!r}{suggestion(wanted, names)}")
        return wanted
    found = next((name for name in COLUMNS if name in names), names[0] if len(names) == 1 else None)
    if found is not None and found not in COLUMNS and not parse_formulas([found])[1]:
        raise InputError(f"{path}:1: {found} reads like a formula: the first line must name the column, e.g. formula")
    if found is None:
        raise InputError(
            f"{path}: which column holds the formulas? Say --formula-column with one of {', '.join(names)}"
        )
    return found


def _lines(path: Path, file: BinaryIO) -> Iterator[Line]:
    """The rows from the beginning, read as they are asked for."""
    file.seek(0)
    is_gzip = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    raw: Any = gzip.GzipFile(fileobj=file) if is_gzip else file
    text = io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")
    line = 0
    try:
        beginning = list(islice(text, 1))
        is_json = is_json_lines(path, "".join(beginning)[:_BEGINNING])
        every: Iterable[str] = chain(beginning, text)
        for row in json_lines(every) if is_json else csv_lines(path, every):
            line = row[0]
            yield row
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: not a whole gzip file ({error})") from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: byte {error.object[error.start]:#04x} is not UTF-8, some lines after {line}: save it as UTF-8"
        ) from error
    finally:
        text.detach()
