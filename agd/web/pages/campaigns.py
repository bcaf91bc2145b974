"""Campaigns: all of them; one as it goes on, with its figures; its suggestions and iterations."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from agd.db.connection import Transaction
from agd.db.reading import pictures, reports
from agd.db.reading.listings import ITERATIONS, SUGGESTIONS, Wanted
from agd.errors import NotFoundError
from agd.registry import suggestion
from agd.steps.reading import overviews
from agd.views import CampaignProgress, IterationProgress, Job, ListedSuggestion, StepAtWork, Suggested
from agd.web import downloads, figures, tables
from agd.web.figures import Course, Figure
from agd.web.pages.listing import Listed, answer
from agd.web.shown import path
from agd.web.site import Site, query_of, site_of
from agd.web.tables import Column

_LIVE_S: Final = 4.0
_FIGURES_S: Final = 8.0
_N_BEST: Final = 10
_MOST_VALUES: Final = 20_000
_MOST_FINDS: Final = 5_000
_MOST_PAIRS: Final = 2_000
_N_TOLD: Final = 8

_CAMPAIGNS: Final = (
    Column("campaign", "campaign", link="/campaigns/{campaign}"),
    Column("state", "state"),
    Column("property", "property"),
    Column("n_charged", "calls", "number"),
    Column("budget_calls", "budget", "number"),
    Column("n_finds", "finds", "number"),
    Column("n_known_finds", "known finds", "number"),
    Column("best", "best", "number", "with unit"),
    Column("n_suggested", "suggestions", "number"),
    Column("twin_of", "control of", link="/campaigns/{twin_of}"),
    Column("last_active", "last active", "time"),
)
_SUGGESTIONS: Final = (
    Column("iteration", "iteration", "number"),
    Column("reduced_formula", "formula", "text", "formula", "/composition/{reduced_formula}"),
    Column("value", "value", "number", "with unit"),
    Column("uncertainty", "± sd", "number"),
    Column("expected", "expected", "number"),
    Column("is_find", "find", "bool", "mark"),
    Column("is_known", "known", "bool", "mark"),
    Column("outcome", "outcome"),
    Column("reason", "why not"),
    Column("rank", "rank", "number"),
)
_BEST: Final = (
    Column("iteration", "iteration", "number"),
    Column("reduced_formula", "formula", "text", "formula", "/composition/{reduced_formula}"),
    Column("value", "value", "number", "with unit"),
    Column("uncertainty", "± sd", "number"),
    Column("expected", "expected", "number"),
    Column("claim", "claim"),
    Column("novelty", "novelty"),
)
_ITERATIONS: Final = (
    Column("iteration", "iteration", "number", link="/campaigns/{campaign}/suggestions?f.iteration={iteration}"),
    Column("n_suggested", "suggested", "number"),
    Column("n_new", "new", "number"),
    Column("n_duplicate", "duplicate", "number"),
    Column("n_known", "known", "number"),
    Column("n_rejected", "rejected", "number"),
    Column("n_undecodable", "undecodable", "number"),
    Column("n_charged", "charged", "number"),
    Column("n_finds", "finds", "number"),
    Column("highest", "highest", "number"),
    Column("lowest", "lowest", "number"),
)


@dataclass(frozen=True, slots=True)
class Live:
    """What moves while a campaign runs."""

    progress: CampaignProgress
    twins: Sequence[CampaignProgress]
    at_work: Sequence[StepAtWork]
    parked: Sequence[Job]
    lease_s: float

    @property
    def rate_per_hour(self) -> float | None:
        """Calls charged in an hour of work."""
        spent = self.progress.time_spent
        return 3600 * self.progress.n_charged / spent.total_seconds() if spent and self.progress.n_charged else None

    @property
    def time_left(self) -> timedelta | None:
        """How long the rest of the budget takes at that rate."""
        left = self.progress.budget_calls - self.progress.n_charged
        if self.progress.end_reason is not None or not self.rate_per_hour or left <= 0:
            return None
        return timedelta(hours=left / self.rate_per_hour)

    def heartbeat(self, step: StepAtWork) -> object:
        """When somebody last said that he is at a step."""
        return max(step.started_at, step.lease_expires_at - timedelta(seconds=self.lease_s))


def campaigns(request: Request) -> Response:
    """All campaigns."""
    site = site_of(request)
    rows = site.kept("campaigns", _LIVE_S, overviews.campaigns)
    listed = Listed("Campaigns", "campaigns", is_live=True)
    standard = Wanted("last_active", is_descending=True)
    return answer(request, listed, _CAMPAIGNS, standard, lambda _: tables.of_values(rows))


def campaign(request: Request) -> Response:
    """One campaign."""
    site, name = site_of(request), request.path_params["name"]
    live = _live(site, name)
    return site.show(
        "campaign.html",
        live=live,
        tabs=_tabs(name),
        elements_at=_elements_at(name),
    )


def live(request: Request) -> Response:
    """What of its page changes from one look to the next."""
    site = site_of(request)
    found = _live(site, request.path_params["name"])
    return site.show("campaign_live.html", live=found, is_alone=True, best=_best(site, found.progress))


def elements(request: Request) -> Response:
    """The periodic table of its finds."""
    site = site_of(request)
    name = request.path_params["name"]
    return site.show("elements.html", elements=_elements(site, _live(site, name)), elements_at=_elements_at(name))


def suggestions(request: Request) -> Response:
    """Its suggestions."""
    site, name = site_of(request), request.path_params["name"]
    scope = {"campaign": _id(site, name)}
    listed = Listed("Suggestions", f"{name}-suggestions", tabs=_tabs(name), crumbs=_crumbs(name), is_live=True)
    return answer(
        request,
        listed,
        _SUGGESTIONS,
        Wanted("iteration", is_descending=True),
        lambda tx: tables.of_listing(tx, SUGGESTIONS, scope, ListedSuggestion),
    )


def iterations(request: Request) -> Response:
    """Its iterations."""
    site, name = site_of(request), request.path_params["name"]
    scope = {"campaign": _id(site, name)}
    listed = Listed("Iterations", f"{name}-iterations", tabs=_tabs(name), crumbs=_crumbs(name), is_live=True)
    return answer(
        request,
        listed,
        _ITERATIONS,
        Wanted("iteration", is_descending=True),
        lambda tx: tables.of_listing(tx, ITERATIONS, scope, IterationProgress),
    )


def figure(request: Request) -> Response:
    """The numbers of one of its figures, as JSON or with `as=csv` as a file."""
    site, name, what = site_of(request), request.path_params["name"], request.path_params["figure"]
    draw = _FIGURES.get(what)
    if draw is None:
        raise NotFoundError(f"there is no figure {what!r:.60}{suggestion(what, list(_FIGURES))}")
    progress = _live(site, name).progress
    drawn: Figure = site.kept(("figure", what, name), _FIGURES_S, lambda tx: draw(site, tx, progress))
    if query_of(request).get("as") == "csv":
        titles, *rows = drawn.as_rows()
        return downloads.csv_of(titles, rows, f"{name}-{what}")
    return JSONResponse(drawn.as_json())


def _finds(site: Site, tx: Transaction, progress: CampaignProgress) -> Figure:
    return figures.over_calls(_courses(site, tx, progress), "finds", "distinct finds")


def _best_so_far(site: Site, tx: Transaction, progress: CampaignProgress) -> Figure:
    words = progress.property.replace("_", " ")
    return figures.over_calls(_courses(site, tx, progress), "best", f"best {words} so far, {progress.unit}")


def _outcomes(site: Site, tx: Transaction, progress: CampaignProgress) -> Figure:
    return figures.outcomes(_iterations(site, tx, progress))


def _values(_: Site, tx: Transaction, progress: CampaignProgress) -> Figure:
    values = pictures.latest_values(tx, progress.campaign_id, _MOST_VALUES)
    return figures.histogram(progress, values, _MOST_VALUES)


def _agreement(_: Site, tx: Transaction, progress: CampaignProgress) -> Figure:
    return figures.agreement(progress, pictures.latest_agreement(tx, progress.campaign_id, _MOST_PAIRS))


_FIGURES: Final = {
    "finds": _finds,
    "best": _best_so_far,
    "values": _values,
    "outcomes": _outcomes,
    "agreement": _agreement,
}


def _courses(site: Site, tx: Transaction, progress: CampaignProgress) -> list[Course]:
    """The campaign and its controls; of one that is itself a control, the one it is of comes last."""
    twins = [overviews.campaigns(tx, name)[0] for name in reports.twins(tx, progress.campaign_id)]
    if progress.twin_of is not None:
        twins += overviews.campaigns(tx, progress.twin_of)
    courses = [figures.course(progress, _iterations(site, tx, progress))]
    return courses + [figures.course(one, _iterations(site, tx, one), is_control=True) for one in twins]


def _iterations(site: Site, tx: Transaction, progress: CampaignProgress) -> Sequence[IterationProgress]:
    """Its iterations, read once for all figures that stand on them."""
    key = ("iterations", progress.campaign_id)
    return site.cache.get(key, _FIGURES_S, lambda: overviews.iterations(tx, progress.campaign_id))


def _live(site: Site, name: str) -> Live:
    def read(tx: Transaction) -> Live:
        found = overviews.campaigns(tx, name)
        if not found:
            raise NotFoundError(f"there is no campaign {name!r:.80}")
        campaign_id = found[0].campaign_id
        twins = [overviews.campaigns(tx, twin)[0] for twin in reports.twins(tx, campaign_id)]
        parked = overviews.latest_jobs(tx, _N_TOLD, campaign=name, states=["parked", "held"])
        lease_s = site.workspace.pace.lease_s
        return Live(found[0], twins, overviews.at_work(tx, campaign_id), parked, lease_s)

    return site.kept(("live", name), _LIVE_S, read)


def _id(site: Site, name: str) -> int:
    return _live(site, name).progress.campaign_id


def _best(site: Site, progress: CampaignProgress) -> dict[str, Any]:
    """The best finds, with claim and novelty."""

    def read(tx: Transaction) -> Sequence[Suggested]:
        return [row for row in overviews.top_finds(tx, progress.campaign_id, _N_BEST) if row.is_find]

    return {"columns": _BEST, "rows": site.kept(("best", progress.campaign_id), _FIGURES_S, read)}


def _elements(site: Site, live: Live) -> figures.ElementMap:
    campaign_id = live.progress.campaign_id
    key = ("elements", campaign_id)
    return site.kept(
        key, _FIGURES_S, lambda tx: figures.element_map(pictures.latest_finds(tx, campaign_id, _MOST_FINDS))
    )


def _elements_at(name: str) -> str:
    return f"/campaigns/{path(name)}/elements"


def _tabs(name: str) -> list[tuple[str, str]]:
    at = f"/campaigns/{path(name)}"
    return [
        ("Overview", at),
        ("Suggestions", f"{at}/suggestions"),
        ("Finds", f"{at}/suggestions?f.is_find=yes&f.outcome=new&sort=value&desc=1"),
        ("Iterations", f"{at}/iterations"),
        ("Screens", f"/screens?f.campaign={path(name)}"),
        ("Jobs", f"/jobs?f.campaign={path(name)}"),
    ]


def _crumbs(name: str) -> list[tuple[str, str]]:
    return [("Campaigns", "/"), (name, f"/campaigns/{path(name)}")]
