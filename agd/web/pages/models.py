"""Model versions: all of them, and one with what was measured of it."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from agd.db.reading.listings import Wanted
from agd.errors import NotFoundError
from agd.steps.reading import overviews
from agd.web import tables
from agd.web.pages.listing import Listed, answer
from agd.web.site import site_of
from agd.web.tables import Column

_GOOD_FOR_S: Final = 10.0

_MODELS: Final = (
    Column("id", "version", "number", link="/models/{id}"),
    Column("kind", "kind"),
    Column("plugin", "plug-in"),
    Column("n_members", "learned from", "number"),
    Column("seed", "seed", "number"),
    Column("threads", "threads", "number"),
    Column("n_bytes", "bytes", "number"),
    Column("tensors_sha256", "sha256", "text", "hash"),
)


def models(request: Request) -> Response:
    """All model versions."""
    rows = site_of(request).kept("models", _GOOD_FOR_S, overviews.model_versions)
    standard = Wanted("id", is_descending=True)
    return answer(request, Listed("Model versions", "models"), _MODELS, standard, lambda _: tables.of_values(rows))


def model(request: Request) -> Response:
    """One model version."""
    site, number = site_of(request), request.path_params["id"]
    rows = site.kept("models", _GOOD_FOR_S, overviews.model_versions)
    found = next((one for one in rows if one.id == number), None)
    if found is None:
        raise NotFoundError(f"there is no model version {number}")
    return site.show("model.html", model=found)
