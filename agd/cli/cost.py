"""`agd cost`: what a campaign took, for each call and each find."""

from typing import TYPE_CHECKING, Annotated

import typer

from agd.cli import show
from agd.cli.show import Json, console

if TYPE_CHECKING:
    from agd.views import CampaignCost

_BYTES_PER_MIB = 2**20


def cost(
    name: Annotated[str, typer.Argument(help="Name of the campaign.")],
    json: Json = False,
) -> None:
    """Show the core-hours of a campaign by kind of work, for each call, find and verified find; its twins' beside.

    A find is verified where a calculation or a measurement says again that it meets the target. Processors are counted
    for calculations; of other work cores times the clock stand for them.
    """
    from agd.steps.reading.costs import cost_of

    with show.workspace() as workspace:
        found = cost_of(workspace, name)
    if json:
        show.print_json(found)
        return
    _show(found)


def _show(found: "list[CampaignCost]") -> None:
    columns = ["campaign", "calls", "finds", "verified", "core-h", "asked", "per call", "per find", "per verified"]
    fields = ["campaign", "n_calls", "n_finds", "n_verified", "spent_core_hours", "asked_core_hours"]
    fields += ["core_hours_per_call", "core_hours_per_find", "core_hours_per_verified"]
    console.print(show.table(columns, show.cells(found, fields), title="core-hours"))
    first = found[0]
    columns = ["work", "attempts", "failed", "wall h", "asked", "counted", "spent", "MiB"]
    rows = [
        [
            one.kind,
            one.n_attempts,
            one.n_failed,
            one.wall_hours,
            one.asked_core_hours,
            one.counted_core_hours,
            one.spent_core_hours,
            None if one.memory_bytes is None else round(one.memory_bytes / _BYTES_PER_MIB),
        ]
        for one in first.kinds
    ]
    if rows:
        console.print(show.table(columns, rows, title=f"{first.campaign} by kind of work, core-hours"))
    else:
        show.say(f"{first.campaign}: no attempt at anything has ended yet")
