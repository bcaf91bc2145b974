"""`agd extend`: a campaign goes on with a larger budget."""

from typing import TYPE_CHECKING, Annotated

import typer

from agd.cli import campaign, show
from agd.cli.show import Json

if TYPE_CHECKING:
    from agd.views import Extension


def extend(
    name: campaign.Name,
    oracle_calls: Annotated[str, typer.Option(help="How many more, as in +200, or a new total, as in 1200.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would change, and change nothing.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on at once, as `agd resume` does.")] = False,
    quiet: campaign.Quiet = False,
    json: Json = False,
) -> None:
    """Let a campaign spend more oracle calls, also one that has ended; the change is a row of the record.

    All else of its specification stays as it is. A campaign that is at work goes on to the new budget by itself.
    """
    from agd.errors import InputError
    from agd.steps.campaign import extending

    if dry_run and resume:
        raise InputError("--dry-run changes nothing that --resume could go on with: give one of them")
    calls = extending.Calls.of(oracle_calls)
    with show.workspace() as workspace:
        found = extending.extend(workspace, name, calls, is_dry=dry_run)
    if found.is_exhausted:
        show.say_aside(f"{name} had stalled: its sampler found nothing new, and may find nothing with more calls")
    if resume:
        campaign.resume(name, quiet=quiet, json=json)
    elif json:
        show.print_json(found)
    else:
        for line in _told(found, is_dry=dry_run):
            show.say(line)


def _told(found: "Extension", *, is_dry: bool) -> list[str]:
    """What changes, what is left, and what comes next."""
    first = f"{found.campaign}: {found.budget_calls:,} oracle calls instead of {found.budget_calls_before:,}"
    n = found.n_iterations_expected
    left = f"{found.oracle_calls_left:,} left, in about {n:,} iteration{'' if n == 1 else 's'}"
    if is_dry:
        then = "nothing was changed"
    elif found.state == "running":
        then = f"it is running and goes on by itself: `agd status {found.campaign}` tells"
    elif found.state == "queued":
        then = f"it is queued: `agd worker` goes on with it, `agd status {found.campaign}` tells"
    else:
        then = f"go on with `agd resume {found.campaign}`"
    return [f"{first}: {found.n_charged:,} spent, {left}", then]
