"""The verbs, gathered."""

from typing import Annotated

import typer

import agd
from agd.cli import (
    calculations,
    campaign,
    data,
    database,
    dft,
    extend,
    generate,
    jobs,
    labels,
    lives,
    predict,
    report,
    reproduce,
    screen,
    standing,
    structures,
    train,
    upkeep,
    web,
    why,
    worker,
)
from agd.cli.cost import cost
from agd.cli.demo import demo

EXIT_CODES = """\b
Exit codes: 0 done, 1 something needs care (`agd doctor`), 2 wrong input or lost output, 3 not found,
4 database, 5 busy, 6 model files, 7 a step failed, 8 waiting for labels from outside (see `agd ask NAME`),
130 stopped before the end of the budget (resume with `agd resume NAME`).
"""

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Campaigns of active generative design of inorganic materials, every row of them in PostgreSQL.",
    epilog=EXIT_CODES,
)
app.add_typer(data.app, name="data", help="Import and look at data sets.")
app.add_typer(database.app, name="db", help="Start, stop, upgrade and reach the database.")
campaign.register(app)
standing.register(app)
lives.register(app)
labels.register(app)
screen.register(app)
report.register(app)
app.add_typer(train.app, name="train", help="Train a model by hand.")
generate.register(app)
structures.register(app)
calculations.register(app)
dft.register(app)
why.register(app)
worker.register(app)
app.add_typer(jobs.app, name="jobs", help="See what is due, and decide about it.")
upkeep.register(app)
app.command()(extend.extend)
app.command()(predict.predict)
app.command()(reproduce.reproduce)
app.command()(web.web)
app.command()(cost)
app.command()(demo)


_PANELS = {
    "Campaign": "init run resume stop extend ask tell status list log note tag rename archive delete hash",
    "Results": "top why compare report export structure structures hull cost",
    "Data": "data label",
    "Models": "train retrain models predict calculate calculation calculations",
    "Screening and generating": "screen screens generate generations",
    "Queue": "worker jobs lpad reconcile compute ingest",
    "Record": "db backup restore doctor web",
    "Try it": "demo reproduce",
}
"""Where each verb stands in the help; one that is in none stands by itself."""


def _group() -> None:
    """Put the verbs into their panels."""
    panel_of = {verb: panel for panel, verbs in _PANELS.items() for verb in verbs.split()}
    for one in app.registered_groups:
        one.rich_help_panel = panel_of.get(str(one.name), "Other")
    for command in app.registered_commands:
        name = command.name or (command.callback.__name__ if command.callback else "")
        command.rich_help_panel = panel_of.get(name.replace("_", "-").strip("-"), "Other")


_group()


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"agd {agd.__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Options of every verb."""
