"""`agd status` and `agd list`: how campaigns stand."""

import time
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from agd.cli import show, status_view
from agd.cli.completing import complete_campaign
from agd.cli.show import Json, console
from agd.streams import is_output_lost
from agd.waiting import waiting

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agd.views import CampaignProgress, Status
    from agd.work.workspace import Workspace


def status(
    name: Annotated[
        str | None,
        typer.Argument(help="Name of the campaign; all of them if not given.", autocompletion=complete_campaign),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Keep it up to date until Ctrl-C; waits for a campaign to be opened.")
    ] = False,
    iterations: Annotated[
        int, typer.Option("--iterations", "-i", min=0, max=show.MAX_INT, help="Iterations to show.")
    ] = 10,
    json: Json = False,
) -> None:
    """Show how campaigns stand: calls spent, the four counters, finds, and the last iterations."""
    from rich.live import Live

    with show.workspace() as workspace:
        if json:
            show.print_json(_status(workspace, name, iterations))
            return
        if not watch:
            console.print(status_view.shown(_status(workspace, name, iterations), is_alone=name is not None))
            return
        with waiting(lambda: None, is_last_word=True), Live(console=console, auto_refresh=False) as live:
            while name is not None and not is_output_lost() and not _is_there(workspace, name):
                if console.is_terminal:
                    live.update(f"waiting for campaign {name} to be opened; Ctrl-C ends the waiting", refresh=True)
                time.sleep(1)
            while not is_output_lost():
                view = status_view.shown(_status(workspace, name, iterations), is_alone=name is not None)
                if console.is_terminal:
                    live.update(view, refresh=True)
                else:
                    console.print(view)
                time.sleep(1)


def list_(
    tag: Annotated[list[str] | None, typer.Option(help="Only those with this tag; repeatable.")] = None,
    state: Annotated[str | None, typer.Option(help="Only those whose state begins so: running, ended, failed.")] = None,
    since: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Only those that were at work on that day or later.")
    ] = None,
    archived: Annotated[bool, typer.Option("--archived", help="The archived ones, too.")] = False,
    json: Json = False,
) -> None:
    """List the campaigns, but for archived ones."""
    from agd.steps.campaign import lives

    with show.workspace() as workspace:
        with workspace.database.read() as tx:
            about = {row.campaign_id: row for row in lives.all_about(tx)}
        found = _status(workspace, None, 0)
    rows = [
        row
        for row in found.campaigns
        if (archived or not about[row.campaign_id].is_archived)
        and set(tag or ()) <= set(about[row.campaign_id].tags)
        and row.state.startswith(state or "")
        and (since is None or (row.last_active or row.created_at).date() >= since.date())
    ]
    if json:
        show.print_json(replace(found, campaigns=rows))
    elif found.campaigns and not rows:
        show.say(f"none of {len(found.campaigns)} campaigns is like that")
    else:
        console.print(status_view.listed(rows, about))


def _is_there(workspace: "Workspace", name: str) -> bool:
    from agd.db.record import campaigns

    with workspace.database.read() as tx:
        return name in campaigns.names(tx)


def _status(workspace: "Workspace", name: str | None, n_iterations: int) -> "Status":
    from agd.steps.campaign.campaigns import campaign_row
    from agd.steps.reading import overviews
    from agd.views import Status

    campaign_id = None if name is None else campaign_row(workspace, name).id
    with workspace.database.read() as tx:
        found = overviews.campaigns(tx, name)
        last = [] if campaign_id is None else overviews.iterations(tx, campaign_id, n_iterations)
        at_work = overviews.at_work(tx, campaign_id)
        amendments = overviews.amendments(tx, name)
    return Status(found, last, at_work, _queued(workspace, found), amendments)


def _queued(workspace: "Workspace", campaigns: "Sequence[CampaignProgress]") -> "dict[str, Mapping[str, int]]":
    """What is queued, by state, of campaigns that were ever handed to a queue; nothing is opened where none was."""
    from agd import engines

    names: dict[str, list[str]] = {}
    for row in campaigns:
        handed_to = {row.engine, engines.QUEUE} if row.n_launches else {row.engine}
        for engine in handed_to - {engines.LOCAL}:
            names.setdefault(engine, []).append(row.campaign)
    found: dict[str, Mapping[str, int]] = {}
    for engine, one in engines.usable(names):
        found |= one.status(workspace, names[engine])
    return found


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    app.command()(status)
    app.command("list")(list_)
