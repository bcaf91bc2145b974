"""Rows of Parquet, where pyarrow is installed; a row's line is its number, from 1."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from agd.errors import InputError
from agd.installing import pip_install_extra
from agd.steps.data.cells import MAX_CELL, Line, Selection, hint, normalised

_BATCH = 32_768


def columns(path: Path, file: BinaryIO) -> list[str]:
    """The names of the columns."""
    return [normalised(name) for name in _opened(path, file).schema_arrow.names]


def rows(path: Path, file: BinaryIO, selection: Selection) -> Iterator[Line]:
    """The wanted rows; raises InputError where a column is missing or ambiguous, or the file is not whole."""
    parquet = _opened(path, file)
    names = [normalised(name) for name in parquet.schema_arrow.names]
    for name in selection.names:
        if names.count(name) != 1:
            there = hint(name, names) if name not in names else ": it is there twice"
            raise InputError(f"{path}: no column {name!r}{there}")
    wanted = [parquet.schema_arrow.names[names.index(name)] for name in selection.names]
    line, n_columns = 0, len(selection.columns)
    try:
        for batch in parquet.iter_batches(batch_size=_BATCH, columns=list(dict.fromkeys(wanted))):
            for values in zip(*(batch.column(name).to_pylist() for name in wanted), strict=True):
                line += 1
                cells = tuple(map(_as_text, values))
                text = "".join(cells)
                doubt = selection.doubt(line, cells) if len(text) > MAX_CELL or not text.isascii() else None
                if doubt is not None:
                    yield doubt
                elif not selection.where or selection.is_wanted(cells[n_columns:]):
                    yield line, cells
    except _damage() as error:
        raise InputError(f"{path}: not a whole Parquet file ({error})") from error
    selection.require_found(names)


def _opened(path: Path, file: BinaryIO) -> Any:
    try:
        from pyarrow import parquet
    except ImportError:
        raise InputError(
            f"{path}: is a Parquet file: {pip_install_extra('parquet')}, or write the table as CSV"
        ) from None
    file.seek(0)
    read: Any = parquet.ParquetFile
    try:
        return read(file)
    except _damage() as error:
        raise InputError(f"{path}: not a whole Parquet file ({error})") from error


def _damage() -> tuple[type[Exception], ...]:
    """What is raised about a file that is not whole."""
    from pyarrow import lib

    found: Any = lib
    return found.ArrowException, OSError, ValueError


def _as_text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)
