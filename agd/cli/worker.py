"""The queue's verbs: worker, reconcile, lpad, compute, ingest."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from agd.cli import show
from agd.cli.show import Json
from agd.errors import BusyError, InputError
from agd.policies import CATEGORIES
from agd.waiting import waiting

if TYPE_CHECKING:
    from agd_workflows.reconciling import Reconciler

_LOOK_S = 1.0

Folders = Annotated[list[Path], typer.Argument(help="Folders of prepared steps, or folders of such folders.")]


def worker(
    n: Annotated[int, typer.Option("-n", min=1, max=1024, help="Processes; each does one step at a time.")] = 1,
    campaign: Annotated[str | None, typer.Option(help="Only this campaign's work.")] = None,
    category: Annotated[
        list[str] | None,
        typer.Option(help=f"Only work of this category: {', '.join(CATEGORIES)}; repeatable."),
    ] = None,
    cores: Annotated[int | None, typer.Option(min=1, metavar="N", help="Only work that needs no more cores.")] = None,
    hours: Annotated[
        float | None,
        typer.Option(min=0.0, metavar="H", help="Only work that takes no longer, or nobody knows how long."),
    ] = None,
    program: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only work that needs no other program; repeatable."),
    ] = None,
    until_idle: Annotated[
        float | None, typer.Option(min=0.0, metavar="SECONDS", help="Leave when nothing was ready for so long.")
    ] = None,
    queue: Annotated[
        Literal["slurm", "pbs"] | None, typer.Option(help="Work by jobs of the cluster's queue instead of here.")
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="The nodes cannot reach the database: send steps as folders.")
    ] = False,
    qadapter: Annotated[
        Path | None, typer.Option(help="FireWorks' queue adapter file; the one shipped for that queue if not given.")
    ] = None,
    max_jobs: Annotated[int, typer.Option(min=1, max=100_000, help="Jobs, or folders, away at a time.")] = 4,
    launch_dir: Annotated[
        Path | None, typer.Option(help="Where jobs have their folders; AGD_HOME/jobs if not given.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing of what is done.")] = False,
) -> None:
    """Do what is queued, and keep queue and record in step, until Ctrl-C.

    The step at hand is finished first; a second Ctrl-C ends it at once, and it is done again later.
    """
    from agd.config import load_settings
    from agd.loop import stop_signals
    from agd.steps.campaign.campaigns import get_campaign
    from agd.writing import check_folder
    from agd_workflows import cluster
    from agd_workflows.hands import lend
    from agd_workflows.launching import Share, open_queue
    from agd_workflows.offline import Sender
    from agd_workflows.reconciling import Reconciler
    from agd_workflows.standstill import why_idle
    from agd_workflows.worker import Crew, work

    say: Callable[[str], object] = (lambda _: None) if quiet else show.say_aside
    folder = (launch_dir or load_settings().home / "jobs").absolute()
    if offline or queue is not None:
        check_folder(folder)
    with show.workspace() as workspace, stop_signals() as is_stopped, ExitStack() as said:
        if campaign is not None:
            get_campaign(workspace, campaign)
        if unknown := set(category or ()) - set(CATEGORIES):
            raise InputError(f"--category {unknown.pop()}: there is {', '.join(CATEGORIES)}")
        share = Share(campaign, tuple(category or ()), until_idle, quiet, cores, hours, tuple(program or ()))
        adapter = None if queue is None else cluster.load_qadapter(queue, qadapter, share.job_words())
        launchpad = open_queue(workspace)
        reconciler = Reconciler(workspace, launchpad)
        said.enter_context(waiting(lambda: None, is_last_word=True))
        said.enter_context(waiting(why_idle(launchpad, share), is_urgent=True))
        if offline:
            lend(workspace)
            lease_s = load_settings().offline_lease_s
            sender = Sender(workspace, launchpad, share, folder, lease_s, say, max_jobs, adapter)
            say(f"steps go to folders in {folder}: `agd compute FOLDER` there; what comes back is ingested here")
            _repeat(reconciler, sender.look, until_idle, is_stopped, say)
        elif adapter is not None:
            jobs = cluster.JobLauncher(
                launchpad,
                share.fworker(),
                adapter,
                folder,
                max_jobs=max_jobs,
                say=say,
                every_s=workspace.pace.reconcile_s,
            )
            say(f"jobs have their folders in {folder}; Ctrl-C leaves those that are queued where they are")

            def submit() -> int:
                for job in jobs.submit_missing():
                    say(f"submitted job {job}")
                unsettled = {**share.fworker().query, "state": {"$in": ["READY", "RESERVED", "RUNNING"]}}
                return len(jobs.jobs()) + int(launchpad.fireworks.count_documents(unsettled))

            _repeat(reconciler, submit, until_idle, is_stopped, say)
        else:
            crew = Crew(workspace, share, n)
            say(f"working with {n} process{'es' if n > 1 else ''}; Ctrl-C lets them finish the step at hand")
            try:
                work(crew, reconciler, is_stopped, say)
                crew.leave()
            except BaseException:
                crew.kill()
                raise


def reconcile(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be mended, and mend nothing.")] = False,
    json: Json = False,
) -> None:
    """Find lost runs and whatever queue and record disagree about, and mend the queue; every worker does so too."""
    from agd_workflows.launching import open_queue
    from agd_workflows.reconciling import Reconciler

    with show.workspace() as workspace:
        reconciler = Reconciler(workspace, open_queue(workspace), is_dry=dry_run)
        mended = reconciler.look()
        if mended is not None and reconciler.has_locks:
            show.say_aside(f"a workflow is locked: looking again in {workspace.pace.lease_s:g} s")
            time.sleep(workspace.pace.lease_s)
            mended += reconciler.look() or []
    if mended is None:
        raise BusyError("another process is comparing queue and record just now: a worker does so by itself")
    if json:
        show.print_json([{"campaign": one.campaign, "fw_id": one.fw_id, "what": one.what} for one in mended])
        return
    for one in mended:
        show.say(str(one))
    if not mended:
        show.say("queue and record agree")


def lpad(context: typer.Context) -> None:
    """FireWorks' own `lpad` on the queue: `agd lpad get_wflows`, `agd lpad rerun_fws -i 7`, `agd lpad webgui`."""
    from agd_workflows.launching import open_queue
    from agd_workflows.passing import run_lpad

    if context.args in ([], ["--help"], ["-h"]):
        typer.echo(context.get_help())
        raise typer.Exit(run_lpad(None, ["--help"]))
    if {"--help", "-h"} & set(context.args):
        raise typer.Exit(run_lpad(None, context.args))
    with show.workspace() as workspace:
        launchpad = open_queue(workspace)

        def words() -> str | None:
            locked = [row["name"] for row in launchpad.workflows.find({"locked": True}, {"name": 1})]
            return f"waiting for locked workflows: {', '.join(locked)}; `agd reconcile` unlocks" if locked else None

        with waiting(words, is_urgent=True), waiting(lambda: None, is_last_word=True):
            raise typer.Exit(run_lpad(launchpad, context.args))


def compute(folder: Annotated[Path, typer.Argument(help="Folder of a prepared step.")]) -> None:
    """Compute a prepared step where the database is not in reach; `agd ingest` records it later."""
    from agd.cli.live import training_bar
    from agd.steps import offline

    with training_bar(f"compute {folder.name}") as progress:
        spool = offline.compute(folder, progress)
    show.say(f"wrote {spool}: record it with `agd ingest {folder}`")


def ingest(folders: Folders, json: Json = False) -> None:
    """Record what prepared steps came to; what was recorded before stays as it is."""
    from agd.errors import AgdError
    from agd_workflows import offline
    from agd_workflows.launching import open_queue

    rows: list[dict[str, Any]] = []
    code = 0
    with show.workspace() as workspace:
        launchpad = open_queue(workspace)
        found = list(offline.folders(folders))
        if not found:
            raise InputError(f"no prepared step in {', '.join(map(str, folders))}: see `agd worker --offline`")
        for folder in found:
            try:
                done = offline.ingest(workspace, launchpad, folder)
            except AgdError as error:
                code = code or error.exit_code
                rows.append({"folder": str(folder), "error": str(error)})
                show.say_aside(f"agd: {error}")
            else:
                rows.append(
                    {"folder": str(folder), "campaign": done.campaign, "step": str(done.step), "what": done.what}
                )
                if not json:
                    show.say(offline.told(done))
    if json:
        show.print_json(rows)
    if code:
        raise typer.Exit(code)


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    app.command()(worker)
    app.command()(reconcile)
    as_given = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
    app.command(context_settings=as_given)(lpad)
    app.command()(compute)
    app.command()(ingest)


def _repeat(
    reconciler: "Reconciler",
    look: Callable[[], int],
    until_idle_s: float | None,
    is_stopped: Callable[[], bool],
    say: Callable[[str], object],
) -> None:
    """Look again and again, and reconcile at its intervals; leave when nothing was at hand for a while."""
    from agd_workflows.worker import watch

    last = time.monotonic()

    def once() -> bool:
        nonlocal last
        if look():
            last = time.monotonic()
        return until_idle_s is None or time.monotonic() - last < until_idle_s

    watch(reconciler, once, is_stopped, say, _LOOK_S)
