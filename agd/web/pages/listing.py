"""A page that is one table, or the same table as a file."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from agd.db.connection import Transaction
from agd.db.reading.listings import Wanted
from agd.web import downloads, tables
from agd.web.site import query_of, site_of
from agd.web.tables import Column, Source, Table


@dataclass(frozen=True, slots=True)
class Listed:
    """What a page says of its table: title, the name of its file, and the tabs of which it is one."""

    title: str
    file: str
    note: str = ""
    tabs: Sequence[tuple[str, str]] = ()
    crumbs: Sequence[tuple[str, str]] = ()
    is_live: bool = False


def answer(
    request: Request,
    listed: Listed,
    columns: Sequence[Column],
    standard: Wanted,
    source_of: Callable[[Transaction], Source],
) -> Response:
    """The page that an address asks for, or all its rows as CSV."""
    site, query = site_of(request), query_of(request)
    with site.read() as tx:
        source = source_of(tx)
        if query.get("as") == "csv":
            wanted, _ = tables.asked(query, columns, standard)
            return downloads.csv_of_table(listed.file, columns, source, wanted)
        table = tables.table(request.url.path, columns, query, standard, source)
    table = tables.live(table) if listed.is_live else table
    return site.show("table.html", status_of(request, table), listed=listed, table=table)


def status_of(request: Request, table: Table) -> int:
    """Of a table that was asked for by mistake another than 200; a script that asked shows only what is 200."""
    return 200 if table.mistake is None or "hx-request" in request.headers else 400
