"""Where computing and recording meet: the steps of a campaign and the rule that orders them."""

from typing import Any

from agd.db.connection import AnyRow, Transaction
from agd.db.record import activities, campaigns, hashes, jobs
from agd.errors import StepError
from agd.progress import Progress, silent
from agd.steps.campaign.asking import awaited
from agd.steps.campaign.campaigns import Campaign, CampaignStep, Step, kept_back, take
from agd.steps.campaign.kinds import ENCODING, ITERATION, LABELLING, STEPS, TRAININGS
from agd.work.work import Work
from agd.work.workspace import Workspace

AWAIT = "await labels"
"""The step that somebody outside has to do: `agd tell`, or `agd label add`."""


def next_step(workspace: Workspace, campaign: Campaign) -> Step | None:
    """Read from the record what comes next; None when the campaign has ended."""
    return what_comes_next(workspace, campaign)[0]


def what_comes_next(workspace: Workspace, campaign: Campaign) -> tuple[Step | None, str | None]:
    """What comes next, and where that is held, parked or cancelled, how its job stands, with the cure.

    Of several steps it is the first that may be taken, and the first of all where none may.
    """
    with workspace.database.read() as tx:
        due = due_steps(tx, campaign)
        kept = kept_back(tx, campaign, due)
    step = next((step for step in due if step not in kept), next(iter(due), None))
    return step, jobs.standing(kept[step]) if step in kept else None


def due_steps(tx: Transaction, campaign: Campaign) -> list[Step]:
    """The steps that can be done now, in the order in which one process would do them; none when it has ended."""
    row = campaigns.find(tx, campaign.name)
    if row is None or row.ended_at is not None:
        return []
    trained = campaigns.models_of(tx, campaign.id)
    has_latents = campaign.spec.autoencoder is not None
    needed = {"autoencoder": has_latents, **{goal.role: goal.oracle.answerer.is_model for goal in campaign.spec.goals}}
    if untrained := [Step(TRAININGS[role].name) for role in needed if needed[role] and role not in trained]:
        return untrained
    if has_latents and not campaigns.has_done(tx, campaign.id, ENCODING.name):
        return [Step(ENCODING.name)]
    last = campaigns.last_iteration(tx, campaign.id)
    return [Step(ITERATION[0].name, 1) if last is None else _next_in(tx, campaign, last)]


def _next_in(tx: Transaction, campaign: Campaign, last: AnyRow) -> Step:
    done = activities.done_kinds(tx, last.id)
    left = [kind.name for kind in ITERATION if kind.name not in done]
    if not left:
        return Step(ITERATION[0].name, last.number + 1)
    is_owed = left[0] == LABELLING.name and campaign.spec.oracle.answerer.is_awaited and awaited(tx, campaign)
    return Step(AWAIT if is_owed else left[0], last.number)


def perform(workspace: Workspace, campaign: Campaign, step: Step, progress: Progress = silent) -> bool:
    """Do one step and record it; False where it was done already.

    Raises:
        BusyError: somebody else is at work on the step, or took it over meanwhile: then nothing was written.
        StepError: it is not for this program to do.
    """
    work, task = work_of(campaign, step), CampaignStep(campaign, step)
    activity_id = take(workspace, campaign, step, seed=work.seed(task), lease_s=workspace.pace.lease_s)
    if activity_id is None:
        return False
    work.do(workspace, task, activity_id, lambda tx, done: finish(tx, campaign, done), progress)
    return True


def finish(tx: Transaction, campaign: Campaign, activity_id: int) -> None:
    """End a step that this transaction wrote; where the campaign ended with it, keep the hash of the search."""
    activities.finish(tx, activity_id)
    hashes.keep_ended(tx, campaign.id)


def work_of(campaign: Campaign, step: Step) -> Work[CampaignStep, Any, Any]:
    """What a step consists of.

    Raises:
        StepError: it is not for this program to do.
    """
    if step.kind == AWAIT:
        raise StepError(f"campaign {campaign.name!r} waits for labels: see `agd ask {campaign.name}`")
    if step.kind not in STEPS:
        raise StepError(f"no step {step.kind!r}: there is {', '.join(STEPS)}")
    return STEPS[step.kind].work
