"""Between a Firetask and the record: which workspace it works in, and what its firework does next."""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from fireworks import FiretaskBase, FWAction, LaunchPad

from agd.config import load_settings
from agd.db.connection import AnyRow, open_database
from agd.db.record import hashes, jobs
from agd.errors import NotFoundError, StepError
from agd.steps import requests
from agd.steps.campaign.campaigns import Step, campaign_row, get_campaign
from agd.steps.campaign.kinds import ITERATION, STEPS
from agd.steps.campaign.turns import Turn
from agd.steps.campaign.turns import take_turn as take
from agd.work.absences import outlasting
from agd.work.workspace import Workspace

ENGINE = "fireworks"

UNSETTLED = ("WAITING", "READY", "RESERVED", "RUNNING", "FIZZLED", "PAUSED")
"""States of a firework that may still do its step."""

ITERATIONS_PER_WORKFLOW = 20
"""FireWorks reads a whole workflow with every launch: a long campaign begins a new one now and then."""

STANDINGS = {"due": "done", "done": "was done before"}

log = logging.getLogger("agd.worker")

_open: dict[int, Workspace] = {}

_failed = [0]

_campaigns: set[str] = set()
"""Those that this process did a step of."""


def lend(workspace: Workspace) -> None:
    """Let the tasks of this process work in this workspace."""
    _open[os.getpid()] = workspace


@contextmanager
def workspace(task: FiretaskBase) -> Iterator[Workspace]:
    """The workspace for one run of a task, which knows the launch; it stays open for the next, with its models."""
    opened = _open.get(os.getpid())
    if opened is None:
        settings = load_settings()
        opened = Workspace(open_database(settings), settings.require_home() / "artifacts", settings.pace)
        lend(opened)
    yield replace(opened, launch=launch_of(task))


def n_failed() -> int:
    """How many tasks have failed in this process."""
    return _failed[0]


def launch_of(task: FiretaskBase) -> tuple[int, int] | None:
    """FireWorks' fw_id and launch_id of the run at hand, None outside of FireWorks."""
    fw_id, launchpad = getattr(task, "fw_id", None), getattr(task, "launchpad", None)
    if fw_id is None or launchpad is None:
        return None
    found = launchpad.fireworks.find_one({"fw_id": fw_id}, {"launches": 1})
    return fw_id, found["launches"][-1]


def do_job(task: FiretaskBase) -> FWAction:
    """Do the job of the record that the task names: a request, or a step of a campaign, whose turn is taken.

    Raises:
        NotFoundError: the record has no such job.
        StepError: it is of no kind that this release does.
    """
    with workspace(task) as lent:
        row = outlasting(lent, lambda: _row(lent, task["job"]))
        if row is None:
            raise NotFoundError(f"no job {task['job']}: the queue is not of this record")
        if row.kind in requests.KINDS:
            return _fulfil(lent, row)
        if row.kind in STEPS:
            return _step(lent, task.launchpad, row)
        raise StepError(f"job {row.id} ({row.title}): {row.kind} is a kind of job that this release does not do")


def _row(workspace: Workspace, job_id: int) -> AnyRow | None:
    with workspace.database.read() as tx:
        return next(iter(jobs.some(tx, [job_id])), None)


def _fulfil(workspace: Workspace, row: AnyRow) -> FWAction:
    """Do what was asked for, or call off what waits for it where it is held, parked or cancelled."""
    standing = row.state
    with told(row.title) as outcome:
        if standing == "open":
            standing = "due" if outlasting(workspace, lambda: requests.fulfil(workspace, row)) else "done"
        outcome.append(STANDINGS.get(standing, standing))
    return FWAction(stored_data={"standing": standing}, defuse_workflow=standing not in STANDINGS)


def _step(workspace: Workspace, launchpad: LaunchPad, row: AnyRow) -> FWAction:
    step = Step(row.kind, row.iteration)
    _campaigns.add(row.campaign)
    with told(row.title) as outcome:
        turn = outlasting(workspace, lambda: take(workspace, row.campaign, step, ENGINE))
        outcome.append(STANDINGS.get(turn.standing, turn.standing))
    return follow_up(workspace, launchpad, row.campaign, step, turn)


def leave(workspace: Workspace) -> None:
    """Keep the hash of every search that this process worked on, as far as it has come."""
    for name in sorted(_campaigns):
        campaign_id = campaign_row(workspace, name).id
        with workspace.database.transaction() as tx:
            hashes.keep_search(tx, campaign_id)


@contextmanager
def told(title: str) -> Iterator[list[str]]:
    """Tell the log how one run of a task went."""
    started, outcome = time.monotonic(), [""]
    try:
        yield outcome
    except BaseException as error:
        _failed[0] += 1
        log.error("%s failed: %s: %s", title, type(error).__name__, error)  # noqa: TRY400  one line; the queue keeps the rest
        raise
    log.info("%s %s in %.1f s", title, outcome[-1] or "done", time.monotonic() - started)


def follow_up(workspace: Workspace, launchpad: LaunchPad, name: str, step: Step, turn: Turn) -> FWAction:
    """What a firework does after its turn: append the next iteration, go on, or call off the rest of the workflow."""
    from agd_workflows.build import campaign_workflow

    told: dict[str, Any] = {"standing": turn.standing}
    if not turn.is_done:
        return FWAction(stored_data=told, defuse_workflow=True)
    is_last = step.kind == ITERATION[-1].name
    new = [one for one in turn.due if one.kind == ITERATION[0].name and one.number == (step.iteration or 0) + 1]
    if is_last and new and not is_queued(workspace, launchpad, name, new[0]):
        workflow = campaign_workflow(workspace, get_campaign(workspace, name), new)
        if new[0].number % ITERATIONS_PER_WORKFLOW != 1:
            return FWAction(stored_data=told, additions=workflow)
        launchpad.add_wf(workflow)
    return FWAction(stored_data=told, defuse_workflow=not turn.due and not is_last)


def is_queued(workspace: Workspace, launchpad: LaunchPad, name: str, step: Step) -> bool:
    """Whether a firework that is not settled stands for the step."""
    return any(found == step for found, _ in queued(workspace, launchpad, name))


def queued(workspace: Workspace, launchpad: LaunchPad, name: str) -> list[tuple[Step, dict[str, Any]]]:
    """The steps of a campaign that fireworks not settled stand for, with those, oldest first."""
    from agd_workflows.build import steps_of

    rows = unsettled(launchpad, {"spec.campaign": name})
    steps = zip(steps_of(workspace, rows), rows, strict=True)
    return [(step, document) for step, document in steps if step is not None]


def unsettled(launchpad: LaunchPad, query: dict[str, Any]) -> list[dict[str, Any]]:
    """The fireworks of a query that may still do their jobs, as far as one has to know them, oldest first."""
    told = ("fw_id", "state", "created_on", "updated_on", "launches", "archived_launches", "spec.job", "spec.campaign")
    found = launchpad.fireworks.find({**query, "state": {"$in": list(UNSETTLED)}}, dict.fromkeys(told, 1))
    return sorted(found, key=lambda document: document["fw_id"])
