"""`agd data property add | list`."""

from typing import Annotated

import typer

from agd.cli import show
from agd.cli.show import Json, console

app = typer.Typer(no_args_is_help=True)


@app.command("add")
def add(
    name: Annotated[str, typer.Argument(help="Its name, e.g. critical_temperature.")],
    unit: Annotated[str, typer.Option(help="In which values are kept, e.g. K; 1 where there is none.")],
    at_least: Annotated[float | None, typer.Option(help="The least value it can have.")] = None,
    description: Annotated[str, typer.Option(help="What it is.")] = "",
    json: Json = False,
) -> None:
    """Add a property that values may be of; the same again adds nothing."""
    from agd.steps.data.properties import add_property

    with show.workspace() as workspace:
        added = add_property(workspace, name, unit, at_least, description)
    if json:
        show.print_json(added)
    else:
        bound = "" if added.lower_bound is None else f", {added.lower_bound:g} or more"
        show.say(f"property {added.name} in {added.unit}{bound}: import values with --property {added.name}")


@app.command("list")
def list_(json: Json = False) -> None:
    """List the properties, and the units that are converted to theirs."""
    from agd.steps.data.properties import all_properties
    from agd.units import like

    with show.workspace() as workspace, workspace.database.read() as tx:
        rows = all_properties(tx)
    if json:
        show.print_json(rows)
        return
    shown = ([one.name, one.unit, one.lower_bound, one.n_datasets, ", ".join(like(one.unit)) or None] for one in rows)
    console.print(show.table(["property", "unit", "at least", "data sets", "also read in"], shown))
