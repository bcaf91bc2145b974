"""What a worker does: processes here, jobs of a cluster, or folders for nodes that cannot reach the record."""

import time
from collections.abc import Callable
from contextlib import ExitStack

from fireworks import LaunchPad
from fireworks.user_objects.queue_adapters.common_adapter import CommonAdapter

from agd.config import load_settings
from agd.engines import WorkerPlan
from agd.errors import InputError
from agd.loop import stop_signals
from agd.policies import CATEGORIES
from agd.steps.campaign.campaigns import campaign_row
from agd.waiting import waiting
from agd.work.workspace import Workspace
from agd_workflows.cluster import worker_jobs
from agd_workflows.cluster.offline import Sender
from agd_workflows.launching import Share, open_queue
from agd_workflows.reconciling import Reconciler
from agd_workflows.standstill import why_idle
from agd_workflows.task_runs import lend
from agd_workflows.worker import Crew, watch, work

_LOOK_S = 1.0


def serve(workspace: Workspace, plan: WorkerPlan, say: Callable[[str], object]) -> None:
    """Do what is queued, and keep queue and record in step, until asked to stop or until the plan says to leave.

    Raises:
        NotFoundError: no such campaign.
        InputError: no such category, or the cluster's adapter cannot be read.
    """
    if plan.campaign is not None:
        campaign_row(workspace, plan.campaign)
    if unknown := set(plan.categories) - set(CATEGORIES):
        raise InputError(f"--category {unknown.pop()}: there is {', '.join(CATEGORIES)}")
    share = Share(
        plan.campaign,
        plan.categories,
        plan.until_idle_s,
        plan.is_quiet,
        n_cores=plan.n_cores,
        hours=plan.hours,
        programs=plan.programs,
    )
    adapter = (
        None if plan.cluster is None else worker_jobs.load_qadapter(plan.cluster, plan.qadapter, share.job_words())
    )
    with stop_signals() as is_stopped, ExitStack() as said:
        launchpad = open_queue(workspace)
        reconciler = Reconciler(workspace, launchpad)
        said.enter_context(waiting(lambda: None, is_last_word=True))
        said.enter_context(waiting(why_idle(launchpad, share), is_urgent=True))
        if plan.is_offline:
            look = _by_folders(workspace, launchpad, share, plan, adapter, say)
            _repeat(reconciler, look, plan.until_idle_s, is_stopped, say)
        elif adapter is not None:
            look = _by_jobs(workspace, launchpad, share, plan, adapter, say)
            _repeat(reconciler, look, plan.until_idle_s, is_stopped, say)
        else:
            _by_processes(reconciler, Crew(workspace, share, plan.n_processes), is_stopped, say)


def _by_processes(
    reconciler: Reconciler, crew: Crew, is_stopped: Callable[[], bool], say: Callable[[str], object]
) -> None:
    say(f"working with {crew.n} process{'es' if crew.n > 1 else ''}; Ctrl-C lets them finish the step at hand")
    try:
        work(crew, reconciler, is_stopped, say)
        crew.leave()
    except BaseException:
        crew.kill()
        raise


def _by_folders(
    workspace: Workspace,
    launchpad: LaunchPad,
    share: Share,
    plan: WorkerPlan,
    adapter: CommonAdapter | None,
    say: Callable[[str], object],
) -> Callable[[], int]:
    lend(workspace)
    lease_s = load_settings().offline_lease_s
    say(f"steps go to folders in {plan.folder}: `agd compute FOLDER` there; what comes back is ingested here")
    return Sender(workspace, launchpad, share, plan.folder, lease_s, say, plan.max_jobs, adapter).look


def _by_jobs(
    workspace: Workspace,
    launchpad: LaunchPad,
    share: Share,
    plan: WorkerPlan,
    adapter: CommonAdapter,
    say: Callable[[str], object],
) -> Callable[[], int]:
    fworker, every_s = share.fworker(), workspace.pace.reconcile_s
    jobs = worker_jobs.JobLauncher(
        launchpad, fworker, adapter, plan.folder, max_jobs=plan.max_jobs, say=say, every_s=every_s
    )
    say(f"jobs have their folders in {plan.folder}; Ctrl-C leaves those that are queued where they are")

    def submit() -> int:
        for job in jobs.submit_missing():
            say(f"submitted job {job}")
        unsettled = {**share.fworker().query, "state": {"$in": ["READY", "RESERVED", "RUNNING"]}}
        return len(jobs.jobs()) + int(launchpad.fireworks.count_documents(unsettled))

    return submit


def _repeat(
    reconciler: Reconciler,
    look: Callable[[], int],
    until_idle_s: float | None,
    is_stopped: Callable[[], bool],
    say: Callable[[str], object],
) -> None:
    """Look again and again, and reconcile at its intervals; leave when nothing was at hand for a while."""
    last = time.monotonic()

    def once() -> bool:
        nonlocal last
        if look():
            last = time.monotonic()
        return until_idle_s is None or time.monotonic() - last < until_idle_s

    watch(reconciler, once, is_stopped, say, _LOOK_S)
