"""The FireWorks engine: a campaign's steps go through the queue, and a crew of processes works it."""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from fireworks import LaunchPad

from agd.db import activities, campaigns, jobs
from agd.db.schema import server_time
from agd.errors import StepError
from agd.loop import Outcome, stop_signals
from agd.protocols import Progress, silent
from agd.steps import AWAIT, due_steps
from agd.steps.campaign.campaigns import Campaign, Step, kept_back
from agd.waiting import waiting
from agd.work.workspace import Workspace
from agd_workflows.hands import ENGINE
from agd_workflows.launching import Share, open_queue
from agd_workflows.reconciling import Reconciler
from agd_workflows.standstill import why_still
from agd_workflows.worker import Crew

_LOOK_S = 0.2
_HOPELESS = 8
"""Deaths in a row, each soon after the start, after which no worker is started any more."""


@dataclass(frozen=True, slots=True)
class FireWorksEngine:
    """Runs campaigns by `n_workers` processes of this machine, beside whoever else works the queue."""

    n_workers: int = 1

    def submit(self, workspace: Workspace, campaign: Campaign) -> LaunchPad:
        """Hand the campaign to the queue, and leave it there for the workers.

        Raises:
            BusyError: a process runs the campaign by itself.
        """
        with workspace.database.read() as tx:
            asked_before = server_time(tx)
        lock = workspace.database.campaign_lock(campaign.id, campaign.name, is_shared=True)
        with lock, workspace.database.transaction() as tx:
            campaigns.begin(tx, campaign.id, ENGINE, asked_before)
        launchpad = open_queue(workspace)
        Reconciler(workspace, launchpad).start_afresh(campaign)
        return launchpad

    def run(
        self,
        workspace: Workspace,
        campaign: Campaign,
        *,
        on_step: Callable[[Step], object] = id,
        progress: Progress = silent,  # noqa: ARG002  the crew's steps are seen from outside
        before: Collection[str] = (),
    ) -> Outcome:
        """Submit the campaign and work the queue until it ends, has to wait, or somebody asks to stop.

        Ctrl-C or SIGTERM let the steps at hand finish; a second one ends them at once, and they are done again later.

        Raises:
            BusyError: a process runs the campaign by itself.
            StepError: the campaign is parked: a step of it failed for good.
        """
        if before:
            raise StepError("only the local engine stops before a step")
        started = time.monotonic()
        launchpad = self.submit(workspace, campaign)
        reconciler = Reconciler(workspace, launchpad)
        watch = _Watch(workspace, campaign, on_step)
        log = workspace.artifacts.parent / "launches" / f"{campaign.name}.log"
        crew = Crew(workspace, Share(campaign=campaign.name), self.n_workers, log)
        next_look = time.monotonic() + workspace.pace.reconcile_s

        def why() -> str | None:
            return why_still(workspace, launchpad, campaign, crew.pids)

        with stop_signals() as is_stopped, waiting(why, is_urgent=True):
            try:
                while not is_stopped() and watch.goes_on():
                    crew.look()
                    _see_them_live(crew, log)
                    if time.monotonic() >= next_look:
                        reconciler.look()
                        next_look = time.monotonic() + workspace.pace.reconcile_s
                    time.sleep(_LOOK_S)
                crew.leave()
            except BaseException:
                crew.kill()
                raise
            watch.goes_on()
        if watch.parked_reason is not None:
            raise StepError(
                f"campaign {campaign.name!r} is parked: {watch.parked_reason}. What its workers said is in {log}; "
                f"`agd resume {campaign.name}` tries again"
            )
        is_waiting = watch.kept_back is not None or [step.kind for step in watch.due] == [AWAIT]
        is_cut_short = bool(watch.due) and not is_waiting
        return Outcome(
            not watch.due, is_waiting, is_cut_short, watch.n_steps, time.monotonic() - started, watch.kept_back
        )


def _see_them_live(crew: Crew, log: Path) -> None:
    if crew.n_failures >= _HOPELESS:
        raise StepError(f"the workers die as soon as they start: {log} says why")


@dataclass(slots=True)
class _Watch:
    """What the record says of a campaign that others work on."""

    workspace: Workspace
    campaign: Campaign
    on_step: Callable[[Step], object]
    due: Sequence[Step] = ()
    parked_reason: str | None = None
    kept_back: str | None = None
    n_steps: int = 0
    _n_before: int | None = None

    def goes_on(self) -> bool:
        """Look; whether there is still something to be done by itself."""
        with self.workspace.database.read() as tx:
            row = campaigns.find(tx, self.campaign.name)
            due = due_steps(tx, self.campaign)
            n_done = activities.n_steps_done(tx, self.campaign.id)
            kept = kept_back(tx, self.campaign, due)
            is_at_work = bool(activities.leases(tx, self.campaign.id))
        assert row is not None  # noqa: S101  campaigns are never removed
        self._n_before = n_done if self._n_before is None else self._n_before
        self.n_steps = n_done - self._n_before
        for step in due:
            if step not in self.due and step.kind != AWAIT:
                self.on_step(step)
        self.due, self.parked_reason = due, row.parked_reason
        is_kept_back = bool(due) and len(kept) == len(due) and not is_at_work
        self.kept_back = jobs.standing(kept[due[0]]) if is_kept_back else None
        is_ours = row.engine == ENGINE and row.stop_requested_at is None and row.parked_reason is None
        return is_ours and bool(due) and due[0].kind != AWAIT and self.kept_back is None
