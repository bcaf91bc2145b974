"""Tables and figures as files: CSV, so many rows at most, written before the first byte leaves."""

import csv
import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import IO, Any, Final

from starlette.responses import Response, StreamingResponse

from agd.db.reading.listings import Wanted
from agd.errors import BusyError
from agd.web.tables import MOST_ROWS, Column, Source

_IN_MEMORY: Final = 2**20
_BLOCK: Final = 2**16
_AT_ONCE = threading.Semaphore(2)
_RUNS_IN_SHEETS: Final = ("=", "+", "-", "@", "\t", "\r")


def csv_of_table(name: str, columns: Sequence[Column], source: Source, wanted: Wanted) -> Response:
    """All rows that meet the conditions, in their order."""
    fields = [column.name for column in columns]
    rows = ([getattr(row, field) for field in fields] for row in islice(source.every(wanted), MOST_ROWS))
    return csv_of(fields, rows, name)


def csv_of(titles: Sequence[object], rows: Iterable[Sequence[object]], name: str) -> Response:
    """Rows as a file of that name.

    Raises:
        BusyError: too many are being written.
    """
    if not _AT_ONCE.acquire(timeout=2):
        raise BusyError("others are downloading tables: try again in a moment")
    try:
        file: IO[str] = tempfile.SpooledTemporaryFile(_IN_MEMORY, "w+", encoding="utf-8", newline="")  # noqa: SIM115  it is closed when it has left
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(titles)
        writer.writerows([_cell(value) for value in row] for row in rows)
        file.seek(0)
    finally:
        _AT_ONCE.release()
    headers = {"content-disposition": f'attachment; filename="{name}.csv"', "cache-control": "no-store"}
    return StreamingResponse(_blocks(file), media_type="text/csv; charset=utf-8", headers=headers)


def _blocks(file: IO[str]) -> Iterator[str]:
    with file:
        while block := file.read(_BLOCK):
            yield block


def _cell(value: Any) -> object:
    """Numbers as the shortest text that reads back the same; no text that a spreadsheet would run."""
    match value:
        case bool():
            return "true" if value else "false"
        case float() | Decimal():
            return repr(float(value))
        case datetime():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case str() if value.startswith(_RUNS_IN_SHEETS):
            return f"'{value}"
        case _:
            return value
