"""Screens: all of them, and one as a funnel with what it picked."""

from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from agd.db.connection import Transaction
from agd.db.reading.listings import HITS, Wanted
from agd.db.record import screenings
from agd.errors import NotFoundError
from agd.steps.reading import overviews
from agd.views import ListedHit, Screening
from agd.web import downloads, tables
from agd.web.pages.listing import Listed, answer, status_of
from agd.web.site import query_of, site_of
from agd.web.tables import Column, Table

_GOOD_FOR_S: Final = 10.0

_SCREENS: Final = (
    Column("screening_id", "screen", "number", link="/screens/{screening_id}"),
    Column("campaign", "campaign", link="/campaigns/{campaign}"),
    Column("role", "screener's role"),
    Column("pool", "pool"),
    Column("property", "property"),
    Column("n_read", "read", "number"),
    Column("n_hits", "hits", "number"),
    Column("screener", "model", link="/models/{model_version_id}"),
    Column("started_at", "begun", "time"),
    Column("duration", "took", None),
)
_HITS: Final = (
    Column("rank", "rank", "number"),
    Column("reduced_formula", "formula", "text", "formula", "/composition/{reduced_formula}"),
    Column("value", "predicted", "number", "with unit"),
    Column("uncertainty", "± sd", "number"),
    Column("pool_line", "line of the pool", "number"),
    Column("pool_formula", "as it stands there"),
)


@dataclass(frozen=True, slots=True)
class Stage:
    """What a stage of a funnel left, as a share of what came in and of what came to it."""

    name: str
    n_left: int
    of_all: float
    of_before: float | None


def screens(request: Request) -> Response:
    """All screens."""
    rows = site_of(request).kept("screens", _GOOD_FOR_S, overviews.all_screenings)
    listed = Listed("Screens", "screens")
    standard = Wanted("started_at", is_descending=True)
    return answer(request, listed, _SCREENS, standard, lambda _: tables.of_values(rows))


def screen(request: Request) -> Response:
    """One screen: how many formulas each stage left, and the hits."""
    site, query = site_of(request), query_of(request)
    number = request.path_params["id"]
    with site.read() as tx:
        found = _screening(tx, number)
        source = tables.of_listing(tx, HITS, {"screening": number}, ListedHit)
        standard = Wanted("rank")
        if query.get("as") == "csv":
            wanted, _ = tables.asked(query, _HITS, standard)
            return downloads.csv_of_table(f"screen-{number}", _HITS, source, wanted)
        table: Table = tables.table(request.url.path, _HITS, query, standard, source)
        stages = _stages(screenings.stages(tx, number))
    return site.show("screen.html", status_of(request, table), screen=found, stages=stages, table=table)


def _screening(tx: Transaction, number: int) -> Screening:
    found = [one for one in overviews.all_screenings(tx) if one.screening_id == number]
    if not found:
        raise NotFoundError(f"there is no screen {number}")
    return found[0]


def _stages(left: dict[str, int]) -> list[Stage]:
    most = max(left.values(), default=0)
    stages: list[Stage] = []
    for name, n in left.items():
        before = stages[-1].n_left if stages else None
        stages.append(Stage(name, n, n / most if most else 0.0, n / before if before else None))
    return stages
