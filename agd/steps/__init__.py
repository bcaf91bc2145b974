"""Where computing and recording meet: the steps of a campaign and the rule that orders them."""

from dataclasses import dataclass

from agd.db import activities, campaigns
from agd.protocols import Progress, silent
from agd.spec import TABLE
from agd.steps.searching import decode, encode_initial, label, record, suggest
from agd.steps.training import train
from agd.steps.workspace import Campaign, Workspace

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
        if "oracle" not in trained and campaign.spec.oracle.kind != TABLE:
            return Step("train oracle")
        if not campaigns.has_done(tx, campaign.id, "encode"):
            return Step("encode")
        last = campaigns.last_iteration(tx, campaign.id)
        if last is None:
            return Step("suggest", 1)
        done = activities.done_kinds(tx, last.id)
    left = [kind for kind in ITERATION_STEPS if kind not in done]
    return Step(left[0], last.number) if left else Step("suggest", last.number + 1)


def perform(workspace: Workspace, campaign: Campaign, step: Step, progress: Progress = silent) -> None:
    """Do one step and record it."""
    if step.iteration is not None:
        ITERATION_STEPS[step.kind](workspace, campaign, step.iteration)
    elif step.kind == "encode":
        encode_initial(workspace, campaign)
    else:
        train(workspace, campaign, step.kind.removeprefix("train "), progress)
