"""The queue's verbs: worker, reconcile, lpad, compute, ingest."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from agd.cli import show
from agd.cli.show import Json
from agd.errors import AgdError, BusyError
from agd.policies import CATEGORIES

if TYPE_CHECKING:
    from collections.abc import Callable

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
    from agd import engines
    from agd.config import load_settings
    from agd.writing import check_folder

    plan = engines.WorkerPlan(
        folder=(launch_dir or load_settings().home / "jobs").absolute(),
        n_processes=n,
        campaign=campaign,
        categories=tuple(category or ()),
        until_idle_s=until_idle,
        cluster=queue,
        is_offline=offline,
        qadapter=qadapter,
        max_jobs=max_jobs,
        is_quiet=quiet,
        n_cores=cores,
        hours=hours,
        programs=tuple(program or ()),
    )
    if queue is not None or offline:
        check_folder(plan.folder)
    say: Callable[[str], object] = (lambda _: None) if quiet else show.say_aside
    with show.workspace() as workspace:
        engines.of_queue().work(workspace, plan, say)


def reconcile(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be mended, and mend nothing.")] = False,
    json: Json = False,
) -> None:
    """Find lost runs and whatever queue and record disagree about, and mend the queue; every worker does so too."""
    from agd import engines

    with show.workspace() as workspace:
        mended = engines.of_queue().reconcile(workspace, is_dry=dry_run, say=show.say_aside)
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
    from agd import engines

    engine = engines.of_queue()
    if context.args in ([], ["--help"], ["-h"]):
        typer.echo(context.get_help())
        raise typer.Exit(engine.run_tool(None, ["--help"]))
    if {"--help", "-h"} & set(context.args):
        raise typer.Exit(engine.run_tool(None, context.args))
    with show.workspace() as workspace:
        raise typer.Exit(engine.run_tool(workspace, context.args))


def compute(folder: Annotated[Path, typer.Argument(help="Folder of a prepared step.")]) -> None:
    """Compute a prepared step where the database is not in reach; `agd ingest` records it later."""
    from agd.cli.live import training_bar
    from agd.steps.campaign import offline

    with training_bar(f"compute {folder.name}") as progress:
        spool = offline.compute(folder, progress)
    show.say(f"wrote {spool}: record it with `agd ingest {folder}`")


def ingest(folders: Folders, json: Json = False) -> None:
    """Record what prepared steps came to; what was recorded before stays as it is."""
    from agd import engines

    rows: list[dict[str, Any]] = []
    code = 0
    with show.workspace() as workspace:
        for folder, done in engines.of_queue().ingest(workspace, folders):
            if isinstance(done, AgdError):
                code = code or done.exit_code
                rows.append({"folder": str(folder), "error": str(done)})
                show.say_aside(f"agd: {done}")
                continue
            rows.append({"folder": str(folder), "campaign": done.campaign, "step": str(done.step), "what": done.what})
            if not json:
                show.say(str(done))
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
