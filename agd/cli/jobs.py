"""`agd jobs`: what is due, who is at it, what it failed of; and what a person decides about it."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from agd.cli import show
from agd.cli.show import Json, console
from agd.errors import NotFoundError

if TYPE_CHECKING:
    from agd.db.connection import AnyRow, Transaction


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
    from agd.db import jobs
    from agd.registry import suggestion
    from agd.steps.campaign.campaigns import campaign_row

    with show.workspace() as workspace:
        if campaign is not None:
            campaign_row(workspace, campaign)
        wanted: dict[str, Any] = {"campaign": campaign, "kinds": kind and [kind], "states": state and [state]}
        with workspace.database.read() as tx:
            rows = jobs.overview(tx, **wanted, n_latest=limit)
            counts = jobs.count_by_state(tx, **wanted)
            known = jobs.kinds_there(tx)
    if kind is not None and kind not in known:
        raise NotFoundError(f"no job of kind {kind!r}{suggestion(kind, known)}")
    if json:
        show.print_json([row._asdict() for row in rows])
        return
    if not rows:
        show.say("no such jobs" if known else "no jobs yet: what is imported, trained or run is one")
        return
    console.print(_table(rows))
    n = sum(counts.values())
    listed = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    older = f"; the latest {len(rows):,} are shown, --limit shows more" if n > len(rows) else ""
    show.say(f"{n:,} job{'' if n == 1 else 's'}: {listed}{older}")


@app.command("show")
def show_(job_id: Id, json: Json = False) -> None:
    """Show one job: what it asks for, what it waits for, every attempt at it."""
    from agd.db import jobs

    with show.workspace() as workspace, workspace.database.read() as tx:
        found = jobs.overview(tx, ids=[job_id])
        if not found:
            raise NotFoundError(f"no job {job_id}: see `agd jobs`")
        kept = jobs.find(tx, job_id)
        assert kept is not None  # noqa: S101  jobs are never deleted
        before, attempts = jobs.waits_for(tx, job_id), jobs.attempts(tx, job_id)
    if json:
        details = {"waits_for": [row._asdict() for row in before], "attempts": [row._asdict() for row in attempts]}
        show.print_json({**found[0]._asdict(), "request": kept.request, **details})
        return
    _say_job(found[0], kept.request, before)
    if attempts:
        console.print(_attempts(attempts))
    for row in attempts:
        if row.error:
            show.say(f"attempt {row.activity_id}: {row.error}")


@app.command()
def retry(job_ids: Ids, json: Json = False) -> None:
    """Have jobs tried at once that are parked, cancelled, or wait after a failure; their failures are forgiven."""
    from agd.db import jobs

    _turn(job_ids, jobs.retry, json=json)


@app.command()
def cancel(job_ids: Ids, why: Why = None, json: Json = False) -> None:
    """Do without jobs that nobody is at; `agd jobs retry` takes them up again."""
    from agd.db import jobs

    _turn(job_ids, lambda tx, job_id: jobs.cancel(tx, job_id, _reason(why)), json=json)


@app.command()
def hold(job_ids: Ids, why: Why = None, json: Json = False) -> None:
    """Keep jobs from being begun; who is at one goes on."""
    from agd.db import jobs

    _turn(job_ids, lambda tx, job_id: jobs.hold(tx, job_id, _reason(why)), json=json)


@app.command()
def release(job_ids: Ids, json: Json = False) -> None:
    """Let held jobs go on."""
    from agd.db import jobs

    _turn(job_ids, jobs.release, json=json)


def _turn(job_ids: Sequence[int], how: Callable[["Transaction", int], None], *, json: bool) -> None:
    """Change how jobs stand, all of them or none, and show how they do."""
    from agd.db import jobs

    with show.workspace() as workspace, workspace.database.transaction() as tx:
        for job_id in sorted(set(job_ids)):
            how(tx, job_id)
        rows = jobs.overview(tx, ids=job_ids)
    if json:
        show.print_json([row._asdict() for row in rows])
    else:
        console.print(_table(rows))


def _reason(why: str | None) -> str | None:
    return why.strip() or None if why else None


def _table(rows: Sequence["AnyRow"]) -> Any:
    return show.table(
        ["job", "title", "state", "tries", "who, or why"],
        ([row.id, row.title, row.state, row.n_attempts, _shortened(_note(row))] for row in rows),
    )


def _note(row: "AnyRow") -> str | None:
    """What there is to say about how a job stands."""
    if row.state == "running":
        firework = "" if row.fw_id is None else f", firework {row.fw_id}"
        return f"{row.host}, process {row.pid}{firework}, since {show.text(row.since)}"
    if row.state == "done":
        return None
    words: str | None = row.reason or row.last_error
    if row.state == "open" and row.not_before is not None and row.n_attempts:
        return f"again from {show.text(row.not_before)}: {words}"
    return words


def _shortened(words: str | None) -> str | None:
    if words is None:
        return None
    line = " ".join(words.split())
    return line if len(line) <= _NOTE_WIDTH else f"{line[: _NOTE_WIDTH - 4].rstrip()} ..."


def _say_job(row: "AnyRow", request: dict[str, Any], before: Sequence["AnyRow"]) -> None:
    show.say(f"job {row.id}: {row.title}")
    show.say(f"     kind  {row.kind}" + (f", of campaign {row.campaign}" if row.campaign else ""))
    note = _note(row)
    show.say(f"    state  {row.state}" + (f": {note}" if note else ""))
    show.say(f"     made  {show.text(row.made_at)}, priority {row.priority}")
    needs = [f"{row.n_cores} core{'' if row.n_cores == 1 else 's'}", *row.programs]
    if row.hours is not None:
        needs.append(f"at most {row.hours:g} h")
    show.say(f"    needs  {', '.join(needs)}")
    for one in before:
        show.say(f"    after  job {one.id}, {one.title}: {one.state}")
    for name, value in request.items():
        show.say(f"  request  {name} {value}")
    lost = f", {row.n_lost} lost" if row.n_lost else ""
    show.say(f"    tries  {row.n_attempts}" + (f", {row.n_failed} failed{lost}" if row.n_attempts else ""))


def _attempts(rows: Sequence["AnyRow"]) -> Any:
    columns = ["attempt", "outcome", "began", "took", "host", "process", "firework"]
    return show.table(
        columns,
        (
            [
                row.activity_id,
                row.outcome if row.error_class is None else f"{row.outcome}, {row.error_class}",
                row.started_at,
                None if row.ended_at is None else row.ended_at - row.started_at,
                row.host,
                str(row.pid),
                row.fw_id,
            ]
            for row in rows
        ),
    )
