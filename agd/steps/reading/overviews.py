"""What the record holds, as it is shown."""

from collections.abc import Collection, Sequence
from typing import Any

from agd import registry
from agd.db.connection import AnyRow, Transaction
from agd.db.reading import progress, properties
from agd.db.record import activities, datasets, generations, jobs, models, screenings
from agd.db.record.hashes import told_steps
from agd.errors import NotFoundError
from agd.views import (
    Amendment,
    CampaignProgress,
    Dataset,
    DatasetWithRefused,
    Generation,
    IterationProgress,
    Job,
    JobAttempt,
    JobBefore,
    JobWithAttempts,
    ModelVersion,
    PropertyOfSuggestion,
    RefusedRow,
    Screening,
    StepAtWork,
    Suggested,
    TargetProgress,
    of_row,
    of_rows,
)


def campaigns(tx: Transaction, name: str | None = None) -> list[CampaignProgress]:
    """How campaigns stand, oldest first: all, or the one of that name."""
    several = properties.seek_several(tx)
    return [CampaignProgress(**row, **_sought(tx, row["campaign_id"], several)) for row in progress.campaigns(tx, name)]


def _sought(tx: Transaction, campaign_id: int, several: Collection[int]) -> dict[str, Any]:
    """What a campaign says of each of several properties."""
    if campaign_id not in several:
        return {"targets": [], "n_on_front": None}
    n_on_front = sum(properties.front(tx, [campaign_id]).values())
    return {"targets": of_rows(TargetProgress, properties.targets(tx, campaign_id)), "n_on_front": n_on_front}


def amendments(tx: Transaction, name: str | None = None) -> list[Amendment]:
    """What was amended of the specification of a campaign, or of all, in order."""
    return [of_row(Amendment, row, after=told_steps(row.n_steps)) for row in progress.amendments(tx, name)]


def iterations(tx: Transaction, campaign_id: int, last: int | None = None) -> list[IterationProgress]:
    """The iterations of a campaign, all or the last few, in order."""
    return of_rows(IterationProgress, progress.iterations(tx, campaign_id, last))


def at_work(tx: Transaction, campaign_id: int | None = None) -> list[StepAtWork]:
    """The steps that somebody is at, of a campaign or of all."""
    return [of_row(StepAtWork, row) for row in activities.leases(tx, campaign_id) if not row.is_expired]


def top_finds(tx: Transaction, campaign_id: int, n: int, level: int = 0) -> list[Suggested]:
    """The best labelled compositions of a campaign, by its target."""
    rows = progress.top_finds(tx, campaign_id, n, level)
    return [of_row(Suggested, row, **more) for row, more in zip(rows, of_each_property(tx, rows), strict=True)]


def of_each_property(tx: Transaction, rows: Sequence[AnyRow]) -> list[dict[str, Any]]:
    """What rows of v_suggestion are shown with where their campaigns seek several properties."""
    found = properties.of_suggestions(tx, [row.suggestion_id for row in rows])
    on_front = properties.front(tx, list({row.campaign_id for row in rows if row.suggestion_id in found}))
    return [
        {
            "properties": of_rows(PropertyOfSuggestion, found.get(row.suggestion_id, [])),
            "is_on_front": on_front.get(row.suggestion_id, False) if row.suggestion_id in found else None,
        }
        for row in rows
    ]


def model_versions(tx: Transaction) -> list[ModelVersion]:
    """Every model version, oldest first."""
    return of_rows(ModelVersion, models.models(tx))


def all_datasets(tx: Transaction) -> list[Dataset]:
    """Every data set, oldest first."""
    return of_rows(Dataset, datasets.overview(tx))


def dataset(tx: Transaction, name: str) -> DatasetWithRefused:
    """The data set of that name; raises NotFoundError naming the near miss."""
    found = datasets.overview(tx, name)
    if not found:
        raise NotFoundError(f"no dataset {name!r}{registry.suggestion(name, datasets.names(tx))}")
    refused = of_rows(RefusedRow, datasets.rejects_of(tx, found[0].id))
    return of_row(DatasetWithRefused, found[0], rejects=refused)


def all_screenings(tx: Transaction, campaign: str | None = None) -> list[Screening]:
    """The screenings of a campaign, or all, oldest first."""
    return of_rows(Screening, screenings.overview(tx, campaign=campaign))


def all_generations(tx: Transaction, name: str | None = None) -> list[Generation]:
    """Every generation, oldest first, or the one of that name."""
    from agd.steps.generation.generating import shown  # which stands on all that generates

    return [shown(tx, row) for row in generations.overview(tx, name)]


def some_jobs(tx: Transaction, ids: Collection[int]) -> list[Job]:
    """The jobs of these ids, oldest first."""
    return of_rows(Job, jobs.overview(tx, ids=ids))


def latest_jobs(
    tx: Transaction,
    n: int,
    *,
    campaign: str | None = None,
    kinds: Collection[str] | None = None,
    states: Collection[str] | None = None,
) -> list[Job]:
    """So many jobs at most, of a campaign, of some kinds, in some states; the latest first."""
    return of_rows(Job, jobs.overview(tx, campaign=campaign, kinds=kinds, states=states, n_latest=n))


def job(tx: Transaction, job_id: int) -> JobWithAttempts:
    """The job of that id; raises NotFoundError where there is none."""
    kept, found = jobs.find(tx, job_id), jobs.overview(tx, ids=[job_id])
    if kept is None:
        raise NotFoundError(f"no job {job_id}: see `agd jobs`")
    return of_row(
        JobWithAttempts,
        found[0],
        request=kept.request,
        waits_for=of_rows(JobBefore, jobs.waits_for(tx, job_id)),
        attempts=of_rows(JobAttempt, jobs.attempts(tx, job_id)),
    )
