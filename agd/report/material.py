"""Everything a page tells of a campaign, read in one view of the record."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from agd.db.connection import AnyRow, Transaction
from agd.db.reading import properties, reports
from agd.db.record import hashes
from agd.db.record.hashes import ContentHash
from agd.report.comparison import RULE, Compared, gather
from agd.report.traces import principal_plane
from agd.steps.campaign.campaigns import campaign_row
from agd.steps.reading import overviews
from agd.types import Floats
from agd.views import Amendment, CampaignProgress
from agd.work.workspace import Workspace

_MOST_POINTS: Final = 3000
_MOST_INITIAL: Final = 1000
_FEWEST_POINTS: Final = 3
N_FINDS: Final = 25
N_HITS: Final = 10


@dataclass(frozen=True, slots=True, eq=False)
class Map:
    """Latent points in their principal plane: initial rows `[n, 2]`, suggestions `[m, 2]` with values and finds."""

    initial: Floats
    points: Floats
    values: Floats
    is_find: Any
    shares: tuple[float, float]
    n_left_out: int


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """Rows as `reading.reports` gives them, and traces of the campaign and of its twins (`compared`, itself first).

    `points` and, of the finds by their suggestion, `properties` are those of a campaign that seeks several.
    """

    compared: Sequence[Compared]
    facts: Mapping[str, Any]
    progress: CampaignProgress
    amendments: Sequence[Amendment]
    span: Mapping[str, Any]
    content_hash: ContentHash | None
    initial: Floats
    finds: Sequence[Mapping[str, Any]]
    models: Sequence[Mapping[str, Any]]
    attempts: Sequence[Mapping[str, Any]]
    barren: Sequence[Mapping[str, Any]]
    screenings: Sequence[Mapping[str, Any]]
    n_shared_hits: int | None
    map: Map | None
    points: Sequence[AnyRow]
    properties: Mapping[int, Sequence[AnyRow]]

    @property
    def itself(self) -> Compared:
        """The campaign that the page is about."""
        return self.compared[0]


def collect(workspace: Workspace, name: str) -> Material:
    """Read what a page needs.

    Raises:
        NotFoundError: there is no campaign of that name.
    """
    campaign_id = campaign_row(workspace, name).id
    with workspace.database.read() as tx:
        itself = gather(tx, name)
        initial = reports.initial_rows(tx, campaign_id)
        screenings = reports.screenings(tx, campaign_id, N_HITS)
        finds = reports.finds(tx, campaign_id, N_FINDS, RULE)
        standing = overviews.campaigns(tx, name)[0]
        pair = [one["screening_id"] for one in latest(screenings)]
        return Material(
            compared=[itself, *(gather(tx, twin) for twin in reports.twins(tx, campaign_id))],
            facts=reports.facts(tx, [campaign_id])[campaign_id],
            progress=standing,
            amendments=overviews.amendments(tx, name),
            span=reports.span(tx, campaign_id),
            content_hash=hashes.of_campaign(tx, name),
            initial=np.array([row.value for row in initial], dtype=np.float64),
            finds=finds,
            models=reports.models(tx, campaign_id),
            attempts=reports.attempts(tx, campaign_id),
            barren=reports.barren(tx, campaign_id),
            screenings=screenings,
            n_shared_hits=reports.n_shared_hits(tx, pair[0], pair[1]) if len(pair) > 1 else None,
            map=_map(tx, itself, [row.latent_id for row in initial if row.latent_id is not None]),
            points=properties.points(tx, campaign_id) if standing.targets else [],
            properties=properties.of_suggestions(tx, [row["suggestion_id"] for row in finds]),
        )


def latest(screenings: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The last screening of each screener, of the pool and by the criteria of the last of them all."""
    if not screenings:
        return []
    last = screenings[-1]
    alike = [
        one
        for one in screenings
        if one["source_sha256"] == last["source_sha256"] and one["criteria"] == last["criteria"]
    ]
    return list({one["role"]: one for one in alike}.values())


def _map(tx: Transaction, campaign: Compared, initial_ids: Sequence[int]) -> Map | None:
    trace = campaign.trace
    chosen = _spread(len(trace.latent_id), _MOST_POINTS)
    started = [initial_ids[i] for i in _spread(len(initial_ids), _MOST_INITIAL)]
    if len(chosen) == 0 or len(chosen) + len(started) < _FEWEST_POINTS:
        return None
    points = np.array(reports.vectors(tx, trace.latent_id[chosen].tolist()), dtype=np.float64)
    start = np.array(reports.vectors(tx, started), dtype=np.float64).reshape(-1, points.shape[1])
    initial, suggested, shares = principal_plane(start, points)
    n_left_out = len(trace.latent_id) - len(chosen)
    return Map(initial, suggested, trace.value[chosen], trace.is_find[chosen], shares, n_left_out)


def _spread(n: int, most: int) -> Any:
    """Up to `most` places of `n`, evenly apart."""
    return np.arange(n) if n <= most else np.linspace(0, n - 1, most).round().astype(np.int64)
