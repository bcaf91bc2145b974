"""Data sets: all of them, the rows of one, and those that were refused."""

from collections.abc import Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from agd.db.reading.listings import DATASET_ROWS, REFUSED_ROWS, Wanted
from agd.errors import NotFoundError
from agd.steps.reading import overviews
from agd.views import Dataset, DatasetRow, RefusedRow
from agd.web import tables
from agd.web.pages.listing import Listed, answer
from agd.web.site import Site, site_of
from agd.web.tables import Column

_GOOD_FOR_S: Final = 30.0

_DATASETS: Final = (
    Column("name", "data set", link="/datasets/{id}"),
    Column("property", "property"),
    Column("n_compositions", "compositions", "number"),
    Column("n_read", "rows read", "number"),
    Column("n_rejected", "refused", "number", link="/datasets/{id}/refused"),
    Column("n_structures", "structures", "number"),
    Column("lowest", "lowest", "number", "with unit"),
    Column("mean", "mean", "number"),
    Column("highest", "highest", "number"),
    Column("method", "method"),
    Column("source", "source"),
    Column("imported_at", "imported", "time"),
)
_ROWS: Final = (
    Column("line", "line", "number"),
    Column("formula", "as it stands there"),
    Column("reduced_formula", "formula", "text", "formula", "/composition/{reduced_formula}"),
    Column("chemical_system", "elements", link="/search?q={chemical_system}"),
    Column("value", "value", "number", "with unit"),
)
_REFUSED: Final = (
    Column("line", "line", "number"),
    Column("kind", "kind"),
    Column("formula", "formula"),
    Column("value", "value"),
    Column("message", "why"),
)


def datasets(request: Request) -> Response:
    """All data sets."""
    rows = _all(site_of(request))
    standard = Wanted("imported_at", is_descending=True)
    return answer(request, Listed("Data sets", "datasets"), _DATASETS, standard, lambda _: tables.of_values(rows))


def dataset(request: Request) -> Response:
    """The rows of one."""
    found = _one(request)
    scope = {"dataset": found.id}
    return answer(
        request,
        _listed(found, found.name, "rows"),
        _ROWS,
        Wanted("line"),
        lambda tx: tables.of_listing(tx, DATASET_ROWS, scope, DatasetRow),
    )


def refused(request: Request) -> Response:
    """Its rows that were refused, and why."""
    found = _one(request)
    scope = {"dataset": found.id}
    return answer(
        request,
        _listed(found, f"Refused rows of {found.name}", "refused"),
        _REFUSED,
        Wanted("line"),
        lambda tx: tables.of_listing(tx, REFUSED_ROWS, scope, RefusedRow),
    )


def _listed(found: Dataset, title: str, file: str) -> Listed:
    at = f"/datasets/{found.id}"
    note = f"{found.source}, sha256 {found.source_sha256[:12]}, imported {found.imported_at:%Y-%m-%d %H:%M}"
    tabs = [("Rows", at), ("Refused", f"{at}/refused")]
    return Listed(title, f"dataset-{found.id}-{file}", note, tabs, [("Data sets", "/datasets")])


def _all(site: Site) -> Sequence[Dataset]:
    return site.kept("datasets", _GOOD_FOR_S, overviews.all_datasets)


def _one(request: Request) -> Dataset:
    number = request.path_params["id"]
    found = next((one for one in _all(site_of(request)) if one.id == number), None)
    if found is None:
        raise NotFoundError(f"there is no data set {number}")
    return found
