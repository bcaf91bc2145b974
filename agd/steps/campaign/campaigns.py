"""Campaigns as the record has them, and the steps that one of them needs."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from agd import registry
from agd.db.connection import AnyRow, Transaction
from agd.db.record import campaign_events, campaigns, jobs
from agd.db.record.jobs import Needs, NewJob
from agd.errors import NotFoundError, SpecError
from agd.work.workspace import Workspace

if TYPE_CHECKING:
    from agd.spec import CampaignSpec


@dataclass(frozen=True, slots=True)
class Campaign:
    """A campaign that is in the record."""

    id: int
    name: str
    spec: "CampaignSpec"


def get_campaign(workspace: Workspace, name: str) -> Campaign:
    """The campaign of that name.

    Raises:
        NotFoundError: there is none; the message names the near miss.
    """
    return as_campaign(campaign_row(workspace, name))


def campaign_row(workspace: Workspace, name: str) -> AnyRow:
    """The row of the campaign of that name; raises NotFoundError where there is none."""
    with workspace.database.read() as tx:
        row = campaigns.find(tx, name)
        if row is None and (now := campaign_events.named_before(tx, name)) is not None:
            raise NotFoundError(f"campaign {name!r} is called {now!r} now (see `agd log {now}`)")
        if row is None:
            known = registry.suggestion(name, campaigns.names(tx))
            raise NotFoundError(f"no campaign {name!r}{known} (see `agd list`)")
    return row


def refuse_former_name(tx: Transaction, name: str, place: str) -> None:
    """Raise SpecError where a campaign was called so before: it may be meant."""
    if (now := campaign_events.named_before(tx, name)) is not None:
        raise SpecError(
            f'{place}: campaign {name!r} was renamed to {now!r}: write name = "{now}" to go on with it, or another name'
        )


def as_campaign(row: AnyRow) -> Campaign:
    """A campaign with the specification that holds by now."""
    from agd.spec import CampaignSpec  # what only looks at a campaign's row spares it

    return Campaign(row.id, row.name, CampaignSpec.model_validate_json(json.dumps(amended(row))))


def amended(row: AnyRow) -> dict[str, Any]:
    """The specification of a campaign's row: what it was opened with, and what was amended since."""
    return {**row.spec, "budget": {**row.spec.get("budget", {}), "oracle_calls": row.oracle_calls}}


@dataclass(frozen=True, slots=True)
class Step:
    """What a campaign needs next; `iteration` is None for what happens once."""

    kind: str
    iteration: int | None = None

    @property
    def number(self) -> int:
        """The iteration, of a step that belongs to one."""
        assert self.iteration is not None  # noqa: S101  a step of a campaign's beginning is asked by mistake
        return self.iteration

    def __str__(self) -> str:
        return self.kind if self.iteration is None else f"{self.kind} {self.iteration}"


@dataclass(frozen=True, slots=True)
class CampaignStep:
    """A step with the campaign that needs it."""

    campaign: Campaign
    step: Step

    @property
    def number(self) -> int:
        """The iteration, of a step that belongs to one."""
        return self.step.number


def job_of(campaign: Campaign, step: Step, after: Sequence[int] = ()) -> NewJob:
    """The job that a step of a campaign is; it waits for those in `after`."""
    new = jobs.of_step(campaign.id, campaign.name, step.kind, step.iteration)
    return replace(new, needs=Needs(n_cores=campaign.spec.threads), after=tuple(after))


def kept_back(tx: Transaction, campaign: Campaign, steps: Sequence[Step]) -> dict[Step, AnyRow]:
    """The jobs of those steps that are held, parked or cancelled, by step."""
    keys = {jobs.step_key(campaign.name, step.kind, step.iteration): step for step in steps}
    return {keys[key]: row for key, row in jobs.kept_back(tx, keys).items()}


def park(tx: Transaction, campaign: Campaign, step: Step, reason: str) -> None:
    """Try no step of the campaign again before somebody says so, for what became of this one."""
    campaigns.park(tx, campaign.id, reason)
    job_id = jobs.ensure(tx, job_of(campaign, step))
    if not kept_back(tx, campaign, [step]):
        jobs.park(tx, job_id, reason)


def take(workspace: Workspace, campaign: Campaign, step: Step, *, seed: int | None, lease_s: float) -> int | None:
    """Lease a step of a campaign, which is a job: the id of its new activity, None where the step is done.

    Raises:
        BusyError: somebody else is at work on it.
        StepError: its job is held, parked or cancelled.
    """
    with workspace.database.transaction() as tx:
        iteration_id = None if step.iteration is None else campaigns.open_iteration(tx, campaign.id, step.iteration)
        return jobs.take(
            tx,
            jobs.ensure(tx, job_of(campaign, step)),
            lease_s=lease_s,
            threads=campaign.spec.threads,
            seed=seed,
            launch=workspace.launch,
            campaign_id=campaign.id,
            iteration_id=iteration_id,
        )
