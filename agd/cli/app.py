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
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Campaigns of active generative design of inorganic materials, every row of them in PostgreSQL.",
    epilog=EXIT_CODES,
)
app.add_typer(data.app, name="data", help="Import and look at data sets.")
app.add_typer(database.app, name="db", help="Start, stop, upgrade and reach the database.")
campaign.register(app)
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
