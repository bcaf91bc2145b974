"""Turns: one step of a campaign, taken by whoever was sent for it; the record says whether it is still wanted."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from agd.db.connection import Transaction
from agd.db.record import activities, campaigns, hashes
from agd.nets.threads import limited_threads
from agd.progress import Progress, silent
from agd.steps.campaign.campaigns import Campaign, Step, as_campaign, campaign_row, kept_back
from agd.steps.campaign.stepping import AWAIT, due_steps, perform, work_of
from agd.work.workspace import Workspace

Standing: TypeAlias = Literal[
    "due", "done", "ended", "waiting", "stopped", "parked", "held", "cancelled", "elsewhere", "not due"
]
"""What the record says of a step: to be done, done, in a campaign that is over, waits for labels, was stopped or given
up, is held or cancelled by itself, is run by another engine; or its turn has not come."""


@dataclass(frozen=True, slots=True)
class Turn:
    """How a turn went: what the record said of the step when it came, and the steps that are due now."""

    standing: Standing
    due: Sequence[Step]

    @property
    def is_done(self) -> bool:
        """Whether the step is in the record now."""
        return self.standing in {"due", "done"}


def take_turn(workspace: Workspace, name: str, step: Step, engine: str, progress: Progress = silent) -> Turn:
    """Do a step of the campaign of that name, if it is due and this engine's; the same turn may be taken again.

    Raises:
        NotFoundError: no such campaign.
        BusyError: somebody else is at work on the step, or on the whole campaign.
    """
    row = campaign_row(workspace, name)
    campaign = as_campaign(row)
    work_of(campaign, step)
    with workspace.database.campaign_lock(campaign.id, name, is_shared=True):
        with workspace.database.read() as tx:
            standing, due = standing_of(tx, campaign, step, engine)
        if standing == "due":
            with limited_threads(campaign.spec.threads):
                perform(workspace, campaign, step, progress)
            with workspace.database.transaction() as tx:
                due = due_steps(tx, campaign)
                if [one.kind for one in due] == [AWAIT]:
                    hashes.keep_search(tx, campaign.id)
    return Turn(standing, due)


def standing_of(tx: Transaction, campaign: Campaign, step: Step, engine: str) -> tuple[Standing, Sequence[Step]]:
    """What the record says of a step, and the steps that are due."""
    row = campaigns.find(tx, campaign.name)
    due = due_steps(tx, campaign)
    standing: Standing
    if is_done(tx, campaign, step):
        standing = "done"
    elif row is None or row.ended_at is not None:
        standing = "ended"
    elif row.engine != engine:
        standing = "elsewhere"
    elif row.parked_reason is not None:
        standing = "parked"
    elif row.stop_requested_at is not None:
        standing = "stopped"
    elif step in due:
        kept = kept_back(tx, campaign, [step]).get(step)
        standing = "due" if kept is None else kept.state
    elif [one.kind for one in due] == [AWAIT]:
        standing = "waiting"
    else:
        standing = "not due"
    return standing, due


def is_done(tx: Transaction, campaign: Campaign, step: Step) -> bool:
    """Whether the record holds the step."""
    iteration_id = None
    if step.iteration is not None:
        iteration_id = campaigns.find_iteration(tx, campaign.id, step.iteration)
        if iteration_id is None:
            return False
    there = activities.standing_attempt(tx, step.kind, campaign.id, iteration_id)
    return there is not None and there.outcome == "done"
