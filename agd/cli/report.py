"""What a person takes away: `agd compare`, `agd report`, `agd export`."""

from pathlib import Path
from typing import Annotated

import typer

from agd.cli import show
from agd.cli.show import Force, Json, console
from agd.report.choices import Format, What


def compare(
    names: Annotated[list[str], typer.Argument(help="Campaigns; one alone is compared with its controls.")],
    figure: Annotated[
        Path | None, typer.Option("--figure", help="Draw finds and best label against calls: .png, .svg or .pdf.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write table and figure as a page.")] = None,
    anyway: Annotated[bool, typer.Option("--anyway", help="Compare campaigns of different targets.")] = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Put campaigns side by side: what each spent and found, and whether it beat its controls."""
    from agd.report.comparison import LINES, shown
    from agd.report.comparison import compare as compared_by

    if figure is not None:
        from agd.report.drawing import format_of

        format_of(figure)
    show.require_outputs(figure, output, force=force)
    with show.workspace() as workspace:
        compared = compared_by(workspace, names, anyway=anyway)
    if json:
        show.print_json([dict(one.figures) for one in compared])
    else:
        rows = [[line.title, *(shown(line, one.figures) for one in compared)] for line in LINES]
        console.print(show.table(["", *(one.name for one in compared)], rows))
    if figure is not None:
        from agd.report.page import write_figure

        write_figure(figure, compared, force=force)
        show.say_aside(f"wrote {figure}")
    if output is not None:
        from agd.report.page import comparison_page
        from agd.writing import write_text

        write_text(output, comparison_page(compared), force=force)
        show.say_aside(f"wrote {output}")


def report(
    name: Annotated[str, typer.Argument(help="Name of the campaign.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The page to write; NAME.html if not given.")
    ] = None,
    force: Force = False,
) -> None:
    """Write a campaign as one page: figures, finds with their lineage, models, failures. It needs only a browser."""
    from agd.report.page import report_page
    from agd.writing import write_text

    path = output or Path(f"{name}.html")
    show.require_outputs(path, force=force)
    with show.workspace() as workspace:
        written = report_page(workspace, name)
    write_text(path, written, force=force)
    show.say_wrote(path, ": open it in a browser, or print it")


def export(
    name: Annotated[str, typer.Argument(help="Name of the campaign.")],
    format_: Annotated[
        Format | None, typer.Option("--format", "-f", help="csv, json or parquet; by the file's suffix if not given.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file to write; standard output if not given, or -.")
    ] = None,
    what: Annotated[What, typer.Option(help="What the rows are.")] = "suggestions",
    latents: Annotated[bool, typer.Option("--latents", help="Add the latent vectors.")] = False,
    force: Force = False,
) -> None:
    """Write the rows of a campaign as a table: one row per suggestion, label, failure or screening hit."""
    from agd.report.exporting import export as write
    from agd.report.exporting import format_of

    path = None if output is None or str(output) == "-" else output
    as_format = format_of(path, format_)
    show.require_outputs(path, force=force)
    with show.workspace() as workspace:
        n_rows = write(workspace, name, path, as_format, what=what, latents=latents, force=force)
    if path is not None:
        show.say_aside(f"wrote {n_rows:,} rows to {path}")


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    app.command()(compare)
    app.command()(report)
    app.command()(export)
