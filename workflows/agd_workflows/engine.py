"""The FireWorks engine: a campaign's steps go through the queue, and a crew of processes works it."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from fireworks import LaunchPad

from agd.db.connection import Transaction
from agd.db.record import activities, campaigns, jobs
from agd.db.schema import server_time
from agd.engines import Mended, Outcome, QueueEngine, WorkerPlan
from agd.errors import AgdError, InputError, StepError
from agd.loop import stop_signals
from agd.progress import Progress, silent
from agd.steps.campaign.campaigns import Campaign, Step, kept_back
from agd.steps.campaign.offline import Ingested
from agd.steps.campaign.stepping import AWAIT, due_steps
from agd.steps.requests import Plan
from agd.steps.upkeep.examining import Finding, Site
from agd.waiting import waiting
from agd.work.workspace import Workspace
from agd_workflows.cluster import offline
from agd_workflows.examining import queue_against_record
from agd_workflows.launching import Share, open_queue
from agd_workflows.lpad import run_lpad
from agd_workflows.reconciling import Reconciler, states
from agd_workflows.serving import serve
from agd_workflows.standstill import why_still
from agd_workflows.task_runs import ENGINE, queued
from agd_workflows.worker import Crew

_LOOK_S = 0.2
_HOPELESS = 8
"""Deaths in a row, each soon after the start, after which no worker is started any more."""


class FireWorksEngine(QueueEngine):
    """Runs campaigns by processes of this machine, beside whoever else works the queue."""

    has_queue: ClassVar[bool] = True

    def submit(self, workspace: Workspace, work: Campaign | Plan) -> Sequence[int]:
        """Hand work to the queue, leave it to the workers, and return the ids of its fireworks.

        Raises:
            BusyError: a process runs the campaign by itself.
        """
        if isinstance(work, Campaign):
            return sorted(
                document["fw_id"] for _, document in queued(workspace, self._hand_over(workspace, work), work.name)
            )
        return Reconciler(workspace, open_queue(workspace)).leave(work)

    def _hand_over(self, workspace: Workspace, campaign: Campaign) -> LaunchPad:
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
        n_workers: int = 1,
        on_step: Callable[[Step], object] = id,
        progress: Progress = silent,  # noqa: ARG002  the crew's steps are seen from outside
    ) -> Outcome:
        """Submit the campaign and work the queue until it ends, has to wait, or somebody asks to stop.

        Ctrl-C or SIGTERM let the steps at hand finish; a second one ends them at once, and they are done again later.

        Raises:
            BusyError: a process runs the campaign by itself.
            StepError: the campaign is parked: a step of it failed for good.
        """
        started = time.monotonic()
        launchpad = self._hand_over(workspace, campaign)
        reconciler = Reconciler(workspace, launchpad)
        watch = _Watch(workspace, campaign, on_step)
        log = workspace.artifacts.parent / "launches" / f"{campaign.name}.log"
        crew = Crew(workspace, Share(campaign=campaign.name), n_workers, log)
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

    def status(self, workspace: Workspace, names: Sequence[str]) -> Mapping[str, Mapping[str, int]]:
        """How many fireworks of these campaigns are in each state."""
        return states(open_queue(workspace), names)

    def findings(self, site: Site, tx: Transaction) -> Iterable[Finding]:
        """What the queue says that the record does not."""
        return queue_against_record(site, tx)

    def work(self, workspace: Workspace, plan: WorkerPlan, say: Callable[[str], object]) -> None:
        """Do what is queued, and keep queue and record in step, until asked to stop."""
        serve(workspace, plan, say)

    def reconcile(self, workspace: Workspace, *, is_dry: bool, say: Callable[[str], object]) -> Sequence[Mended] | None:
        """One pass, and where a workflow is locked a second one, when its lock would be stale."""
        reconciler = Reconciler(workspace, open_queue(workspace), is_dry=is_dry)
        mended = reconciler.look()
        if mended is not None and reconciler.has_locks:
            say(f"a workflow is locked: looking again in {workspace.pace.lease_s:g} s")
            time.sleep(workspace.pace.lease_s)
            mended += reconciler.look() or []
        return mended

    def ingest(self, workspace: Workspace, paths: Sequence[Path]) -> Iterator[tuple[Path, Ingested | AgdError]]:
        """Record what prepared steps came to, and tell the queue, folder by folder."""
        launchpad = open_queue(workspace)
        found = list(offline.folders(paths))
        if not found:
            raise InputError(f"no prepared step in {', '.join(map(str, paths))}: see `agd worker --offline`")
        for folder in found:
            try:
                yield folder, offline.ingest(workspace, launchpad, folder)
            except AgdError as error:
                yield folder, error

    def run_tool(self, workspace: Workspace | None, words: Sequence[str]) -> int:
        """Run FireWorks' own `lpad` on the queue."""
        if workspace is None:
            return run_lpad(None, words)
        launchpad = open_queue(workspace)

        def why() -> str | None:
            locked = [row["name"] for row in launchpad.workflows.find({"locked": True}, {"name": 1})]
            return f"waiting for locked workflows: {', '.join(locked)}; `agd reconcile` unlocks" if locked else None

        with waiting(why, is_urgent=True), waiting(lambda: None, is_last_word=True):
            return run_lpad(launchpad, words)


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
