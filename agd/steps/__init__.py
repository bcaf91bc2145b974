"""Where computing and recording meet: the steps of a campaign and the rule that orders them."""

from dataclasses import dataclass

from agd.db import activities, campaigns
from agd.db.connection import AnyRow, Transaction
from agd.errors import StepError
from agd.protocols import Progress, silent
from agd.spec import EXTERNAL
from agd.steps.asking import awaited
from agd.steps.searching import decode, encode_initial, label, record, suggest
from agd.steps.training import train
from agd.steps.workspace import Campaign, Workspace

AWAIT = "await labels"
"""The step that somebody outside has to do: `agd tell`, or `agd label add`."""

ITERATION_STEPS = {"suggest": suggest, "decode": decode, "label": label, "record": record}


@dataclass(frozen=True, slots=True)
class Step:
    """What a campaign needs next; `iteration` is None for what happens once."""

    kind: str
    iteration: int | None = None


def next_step(workspace: Workspace, campaign: Campaign) -> Step | None:
    """Read from the record what comes next; None when the campaign has ended."""
    with workspace.database.read() as tx:
        row = campaigns.find(tx, campaign.name)
        if row is None or row.ended_at is not None:
            return None
        trained = campaigns.models_of(tx, campaign.id)
        if "autoencoder" not in trained:
            return Step("train autoencoder")
        if "oracle" not in trained and campaign.spec.oracle.is_model:
            return Step("train oracle")
        if not campaigns.has_done(tx, campaign.id, "encode"):
            return Step("encode")
        last = campaigns.last_iteration(tx, campaign.id)
        if last is None:
            return Step("suggest", 1)
        return _next_in(tx, campaign, last)


def _next_in(tx: Transaction, campaign: Campaign, last: AnyRow) -> Step:
    done = activities.done_kinds(tx, last.id)
    left = [kind for kind in ITERATION_STEPS if kind not in done]
    if not left:
        return Step("suggest", last.number + 1)
    is_owed = left[0] == "label" and campaign.spec.oracle.kind == EXTERNAL and awaited(tx, campaign)
    return Step(AWAIT if is_owed else left[0], last.number)


def perform(workspace: Workspace, campaign: Campaign, step: Step, progress: Progress = silent) -> None:
    """Do one step and record it.

    Raises:
        StepError: it is not for this program to do.
    """
    if step.kind == AWAIT:
        raise StepError(f"campaign {campaign.name!r} waits for labels: see `agd ask {campaign.name}`")
    if step.iteration is not None:
        ITERATION_STEPS[step.kind](workspace, campaign, step.iteration)
    elif step.kind == "encode":
        encode_initial(workspace, campaign)
    else:
        train(workspace, campaign, step.kind.removeprefix("train "), progress)
