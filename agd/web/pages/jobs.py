"""Jobs: what is due, at work, done or parked, and one with every attempt at it."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from agd.db.reading.listings import JOBS, Wanted
from agd.steps.reading import overviews
from agd.views import Job
from agd.web import tables
from agd.web.pages.listing import Listed, answer
from agd.web.site import site_of
from agd.web.tables import Column

_JOBS: Final = (
    Column("id", "job", "number", link="/jobs/{id}"),
    Column("title", "what"),
    Column("kind", "kind"),
    Column("campaign", "campaign", link="/campaigns/{campaign}"),
    Column("state", "state"),
    Column("n_attempts", "attempts", "number"),
    Column("n_failed", "failed", "number"),
    Column("n_lost", "lost", "number"),
    Column("last_error", "last error"),
    Column("host", "host"),
    Column("made_at", "since", "time"),
)
_TABS: Final = (
    ("All", "/jobs"),
    ("Running", "/jobs?f.state=running"),
    ("Parked", "/jobs?f.state=parked"),
    ("With failures", "/jobs?f.n_failed=>0"),
    ("Workers lost", "/jobs?f.n_lost=>0"),
)


def jobs(request: Request) -> Response:
    """All jobs, the latest first."""
    listed = Listed("Jobs", "jobs", tabs=_TABS, is_live=True)
    standard = Wanted("id", is_descending=True)
    return answer(request, listed, _JOBS, standard, lambda tx: tables.of_listing(tx, JOBS, {"campaign": None}, Job))


def job(request: Request) -> Response:
    """One job."""
    site = site_of(request)
    with site.read() as tx:
        found = overviews.job(tx, request.path_params["id"])
    return site.show("job.html", job=found)
