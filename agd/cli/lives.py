"""`agd rename | note | tag | archive | delete | log`: campaigns over months."""

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from agd.cli import show
from agd.cli.campaign import Name, Quiet
from agd.cli.show import Json, console
from agd.errors import InputError

if TYPE_CHECKING:
    from agd.views import Deletion

_EXIT_DECLINED = 1

Operator = Annotated[str | None, typer.Option(help="Who says so; you, if not given.")]


def rename(
    name: Name, new: Annotated[str, typer.Argument(help="Its new name.")], operator: Operator = None, json: Json = False
) -> None:
    """Give a campaign another name; its controls take it too, its content hash stays."""
    from agd.steps.campaign import lives

    with show.workspace() as workspace:
        pairs = lives.rename(workspace, name, new, operator)
    if json:
        show.print_json([{"old": old, "new": now} for old, now in pairs])
        return
    for old, now in pairs:
        show.say(f"{old} is called {now} now")
    show.say(f"in its specification write name = {new!r} before you `agd run` it again; `agd resume {new}` needs none")


def note(
    name: Name, words: Annotated[str, typer.Argument(help="What to remember of it.")], operator: Operator = None
) -> None:
    """Keep a note with a campaign; `agd log NAME` shows it among what happened."""
    from agd.steps.campaign import lives

    with show.workspace() as workspace:
        lives.note(workspace, name, words, operator)
    show.say(f"noted; `agd log {name}` shows it")


def tag(
    name: Name,
    tags: Annotated[list[str], typer.Argument(help="One or more words.")],
    remove: Annotated[bool, typer.Option("--remove", help="Take them off.")] = False,
    operator: Operator = None,
    json: Json = False,
) -> None:
    """Put tags on a campaign, for `agd list --tag`."""
    from agd.steps.campaign import lives

    with show.workspace() as workspace:
        lives.tag(workspace, name, tags, is_off=remove, operator=operator)
        found = lives.about(workspace, name)
    if json:
        show.print_json(found)
    else:
        show.say(f"{name}: {', '.join(found.tags) or 'no tags'}")


def archive(
    name: Name,
    undo: Annotated[bool, typer.Option("--undo", help="Show it again.")] = False,
    operator: Operator = None,
) -> None:
    """Leave a campaign out of lists; nothing of it changes, and it can be resumed."""
    from agd.steps.campaign import lives

    with show.workspace() as workspace:
        lives.archive(workspace, name, is_undone=undo, operator=operator)
    show.say(f"{name} is listed again" if undo else f"{name} is archived; `agd list --archived` shows it")


def log(
    name: Name,
    n: Annotated[int, typer.Option("-n", min=1, max=show.MAX_INT, help="How many of the latest.")] = 40,
    everything: Annotated[bool, typer.Option("--all", help="From the beginning.")] = False,
    json: Json = False,
) -> None:
    """Show what happened to a campaign, in order: steps, iterations, failures, notes, changes."""
    from agd.steps.campaign import lives

    with show.workspace() as workspace:
        rows = lives.log(workspace, name, None if everything else n)
    if json:
        show.print_json(rows)
        return
    shown = ([f"{row.at:%Y-%m-%d %H:%M}", row.what, row.detail, row.by] for row in rows)
    console.print(show.table(["at", "what", "", "by"], shown))


def delete(
    name: Name,
    why: Annotated[str | None, typer.Option(help="The reason, kept in the record.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and remove nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing: for scripts.")] = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Remove a campaign: suggestions, latent points, screenings, steps. Labels, compositions and models stay.

    A campaign that others rest on is not removed. What went, who removed it and when stays as a row.
    """
    from agd.cli.live import training_bar
    from agd.steps.campaign import lives

    with show.workspace() as workspace:
        found = lives.what_goes(workspace, name)
        if not json or not (dry_run or yes):
            _say_what_goes(found)
        if not dry_run:
            if not yes:
                _ask(name)
            with training_bar("delete", is_shown=not quiet) as progress:
                found = lives.delete(workspace, name, why=why, progress=progress)
    if json:
        show.print_json(asdict(found))
    elif dry_run:
        show.say("nothing was removed")
    else:
        show.say(f"{name} was deleted; row {found.removal_id} of table removal says so")


def _say_what_goes(found: "Deletion") -> None:
    show.say_aside(
        f"{found.campaign}: {found.n_suggestions:,} suggestions of {found.n_iterations:,} iterations, "
        f"{found.n_screenings:,} screenings and {found.n_activities:,} activities go; {found.n_labels_kept:,} labels "
        f"that it asked for and {found.n_models_kept:,} models stay"
    )


def _ask(name: str) -> None:
    """Leave unless a person at a terminal says yes."""
    if sys.stdin is None or not sys.stdin.isatty():
        raise InputError(
            f"campaign {name} was not deleted: nobody is here to be asked; --yes deletes without a question, "
            "--dry-run shows what would go"
        )
    if not typer.confirm(f"delete campaign {name}?", err=True):
        show.say_aside("nothing was deleted")
        raise typer.Exit(_EXIT_DECLINED)


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    for verb in (rename, note, tag, archive, log, delete):
        app.command()(verb)
