"""Pools: where a screening looks, read in chunks so that millions of formulas need little memory."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from agd.chem.formula import parse_formulas
from agd.db.record import datasets, screenings
from agd.errors import InputError, NotFoundError
from agd.registry import suggestion
from agd.steps.data.cells import Broken, Selection, hint, normalised, shown
from agd.steps.data.containers import OpenedFile, is_stdin, opened
from agd.steps.data.tabular import table
from agd.work.workspace import Workspace

CHUNK = 32_768
"""Formulas that are in memory at a time."""

COLUMNS = ("composition", "formula", "pretty_formula")
"""Where formulas are looked for when no column is named."""

_NAMES_SHOWN = 20


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
    is_file = is_stdin(path) or (path.exists() and not path.is_dir())
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
    with opened(path) as file:
        column = _column(file, formula_column)
        rows = table(file, lambda names: column in names).rows(Selection(path, (column,)))
        if all(isinstance(row, Broken) for row in rows):
            raise InputError(f"{path}: holds no rows")
        chunks = partial(_file_chunks, file, column)
        yield Pool(path.name, file.sha256, f"file {file.sha256} {column}", chunks, formula_column=column)


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


def _file_chunks(file: OpenedFile, column: str, limit: int | None) -> Iterator[Chunk]:
    total = file.n_bytes
    found = table(file, lambda names: column in names)
    rows = islice(found.rows(Selection(file.path, (column,))), limit)
    while some := list(islice(rows, CHUNK)):
        good = [row for row in some if not isinstance(row, Broken)]
        formulas = [cells[0] for _, cells in good]
        lines = [line for line, _ in good]
        done = total if len(some) < CHUNK else file.file.tell()
        yield Chunk(lines, formulas, formulas, n_broken=len(some) - len(good), done=done, total=total)
    file.require_unchanged()


def _column(file: OpenedFile, wanted: str | None) -> str:
    """The column of the formulas: the one that was named, one of the usual names, or the only one."""
    path = file.path
    sought = COLUMNS if wanted is None else (normalised(wanted),)
    names = table(file, lambda names: any(name in names for name in sought)).names
    found = next((name for name in sought if name in names), None)
    if not names:
        raise InputError(f"{path}: holds no rows")
    if found is None and wanted is not None:
        raise InputError(f"{path}: no column {wanted!r}{hint(wanted, names)}")
    if found is None and len(names) == 1:
        found = names[0]
        if not parse_formulas([found])[1]:
            raise InputError(
                f"{path}:1: {found} reads like a formula: the first line must name the column, e.g. formula"
            )
    if found is None:
        some = ", ".join(shown(name, 40) for name in names[:_NAMES_SHOWN] if name)
        more = f" and {len(names) - _NAMES_SHOWN:,} more" if len(names) > _NAMES_SHOWN else ""
        raise InputError(f"{path}: which column holds the formulas? Say --formula-column with one of {some}{more}")
    return found
