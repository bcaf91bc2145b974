"""`agd jobs`: what is due, who is at it, what it failed of; and what a person decides about it."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from agd.cli import show
from agd.cli.show import Json, console
from agd.errors import NotFoundError

if TYPE_CHECKING:
    from agd.db.connection import Transaction
    from agd.views import Job, JobAttempt, JobWithAttempts


class _ListsByDefault(TyperGroup):
    """A group that lists where no verb of it is named."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Name the verb."""
        if not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names):
            args = ["list", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(cls=_ListsByDefault)

State = Literal["open", "waiting", "running", "held", "parked", "cancelled", "done"]

Id = Annotated[int, typer.Argument(metavar="ID", min=1, max=show.MAX_SEED, help="Number of the job.")]
Ids = Annotated[list[int], typer.Argument(metavar="ID", min=1, max=show.MAX_SEED, help="Numbers of the jobs.")]
Why = Annotated[str | None, typer.Option("--why", help="The reason, which is kept with the job.")]

_NOTE_WIDTH = 100
"""Letters of an error that the list shows; `agd jobs show` shows all of it."""


@app.command("list")
def list_(
    campaign: Annotated[str | None, typer.Option(help="Steps of that campaign, and what serves it.")] = None,
    kind: Annotated[str | None, typer.Option(help="Jobs of that kind, e.g. suggest, screen, import.")] = None,
    state: Annotated[State | None, typer.Option(help="Jobs that stand so.")] = None,
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, max=show.MAX_INT, help="So many at most.")] = 30,
    json: Json = False,
) -> None:
    """List the jobs, the latest first."""
    from agd.db.record import jobs
    from agd.registry import suggestion
    from agd.steps.campaign.campaigns import campaign_row
    from agd.steps.reading import overviews
    from agd.views import as_json

    with show.workspace() as workspace:
        if campaign is not None:
            campaign_row(workspace, campaign)
        wanted: dict[str, Any] = {"campaign": campaign, "kinds": kind and [kind], "states": state and [state]}
        with workspace.database.read() as tx:
            found = overviews.latest_jobs(tx, limit, **wanted)
            counts = jobs.count_by_state(tx, **wanted)
            known = jobs.kinds_there(tx)
    if kind is not None and kind not in known:
        raise NotFoundError(f"no job of kind {kind!r}{suggestion(kind, known)}")
    if json:
        show.print_json([as_json(one) for one in found])
        return
    if not found:
        show.say("no such jobs" if known else "no jobs yet: what is imported, trained or run is one")
        return
    console.print(_table(found))
    n = sum(counts.values())
    listed = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    older = f"; the latest {len(found):,} are shown, --limit shows more" if n > len(found) else ""
    show.say(f"{n:,} job{'' if n == 1 else 's'}: {listed}{older}")


@app.command("show")
def show_(job_id: Id, json: Json = False) -> None:
    """Show one job: what it asks for, what it waits for, every attempt at it."""
    from agd.steps.reading import overviews
    from agd.views import as_json

    with show.workspace() as workspace, workspace.database.read() as tx:
        job = overviews.job(tx, job_id)
    if json:
        show.print_json(as_json(job))
        return
    _say_job(job)
    if job.attempts:
        console.print(_attempts(job.attempts))
    for attempt in job.attempts:
        if attempt.error:
            show.say(f"attempt {attempt.activity_id}: {attempt.error}")


@app.command()
def retry(job_ids: Ids, json: Json = False) -> None:
    """Have jobs tried at once that are parked, cancelled, or wait after a failure; their failures are forgiven."""
    from agd.db.record import jobs

    _turn(job_ids, jobs.retry, json=json)


@app.command()
def cancel(job_ids: Ids, why: Why = None, json: Json = False) -> None:
    """Do without jobs that nobody is at; `agd jobs retry` takes them up again."""
    from agd.db.record import jobs

    _turn(job_ids, lambda tx, job_id: jobs.cancel(tx, job_id, _reason(why)), json=json)


@app.command()
def hold(job_ids: Ids, why: Why = None, json: Json = False) -> None:
    """Keep jobs from being begun; who is at one goes on."""
    from agd.db.record import jobs

    _turn(job_ids, lambda tx, job_id: jobs.hold(tx, job_id, _reason(why)), json=json)


@app.command()
def release(job_ids: Ids, json: Json = False) -> None:
    """Let held jobs go on."""
    from agd.db.record import jobs

    _turn(job_ids, jobs.release, json=json)


def _turn(job_ids: Sequence[int], how: Callable[["Transaction", int], None], *, json: bool) -> None:
    """Change how jobs stand, all of them or none, and show how they do."""
    from agd.steps.reading import overviews
    from agd.views import as_json

    with show.workspace() as workspace, workspace.database.transaction() as tx:
        for job_id in sorted(set(job_ids)):
            how(tx, job_id)
        jobs = overviews.some_jobs(tx, job_ids)
    if json:
        show.print_json([as_json(job) for job in jobs])
    else:
        console.print(_table(jobs))


def _reason(why: str | None) -> str | None:
    return why.strip() or None if why else None


def _table(jobs: Sequence["Job"]) -> Any:
    return show.table(
        ["job", "title", "state", "tries", "who, or why"],
        ([job.id, job.title, job.state, job.n_attempts, _shortened(_note(job))] for job in jobs),
    )


def _note(job: "Job") -> str | None:
    """What there is to say about how a job stands."""
    if job.state == "running":
        firework = "" if job.fw_id is None else f", firework {job.fw_id}"
        return f"{job.host}, process {job.pid}{firework}, since {show.text(job.since)}"
    if job.state == "done":
        return None
    words = job.reason or job.last_error
    if job.state == "open" and job.not_before is not None and job.n_attempts:
        return f"again from {show.text(job.not_before)}: {words}"
    return words


def _shortened(words: str | None) -> str | None:
    if words is None:
        return None
    line = " ".join(words.split())
    return line if len(line) <= _NOTE_WIDTH else f"{line[: _NOTE_WIDTH - 4].rstrip()} ..."


def _say_job(job: "JobWithAttempts") -> None:
    show.say(f"job {job.id}: {job.title}")
    show.say(f"     kind  {job.kind}" + (f", of campaign {job.campaign}" if job.campaign else ""))
    note = _note(job)
    show.say(f"    state  {job.state}" + (f": {note}" if note else ""))
    show.say(f"     made  {show.text(job.made_at)}, priority {job.priority}")
    needs = [f"{job.n_cores} core{'' if job.n_cores == 1 else 's'}", *job.programs]
    if job.hours is not None:
        needs.append(f"at most {job.hours:g} h")
    show.say(f"    needs  {', '.join(needs)}")
    for one in job.waits_for:
        show.say(f"    after  job {one.id}, {one.title}: {one.state}")
    for name, value in job.request.items():
        show.say(f"  request  {name} {value}")
    lost = f", {job.n_lost} lost" if job.n_lost else ""
    show.say(f"    tries  {job.n_attempts}" + (f", {job.n_failed} failed{lost}" if job.n_attempts else ""))


def _attempts(attempts: Sequence["JobAttempt"]) -> Any:
    columns = ["attempt", "outcome", "began", "took", "host", "process", "firework"]
    return show.table(
        columns,
        (
            [
                one.activity_id,
                one.outcome if one.error_class is None else f"{one.outcome}, {one.error_class}",
                one.started_at,
                None if one.ended_at is None else one.ended_at - one.started_at,
                one.host,
                str(one.pid),
                one.fw_id,
            ]
            for one in attempts
        ),
    )
