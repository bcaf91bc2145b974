"""`agd data`: import, enumerate, list, show; structures and phases have a file of their own."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agd.cli import properties, show, structure_data, structure_optimade
from agd.cli.completing import complete_dataset
from agd.cli.refused import say_refused, write_refused
from agd.cli.show import Force, Json, console
from agd.methods import UNSTATED, Kind
from agd.policies import DuplicatePolicy, NegativePolicy

if TYPE_CHECKING:
    from agd.steps.data.importing import ImportSummary

app = typer.Typer(no_args_is_help=True)
app.add_typer(properties.app, name="property", help="List what values may be of, and add to it.")
app.command("import-structures")(structure_data.import_structures)
app.command("import-optimade")(structure_optimade.import_optimade)
app.command("import-phases")(structure_data.import_phases)
app.command("structure")(structure_data.structure)


@app.command("import")
def import_(
    file: Annotated[
        Path, typer.Argument(help="A table of CSV, JSON or Parquet, packed or not; - reads standard input.")
    ],
    name: Annotated[str, typer.Option(help="Name of the data set in the record.")],
    formula_column: Annotated[str, typer.Option(help="Column of the formulas.")] = "composition",
    value_column: Annotated[str | None, typer.Option(help="Column of the values; none for a list of formulas.")] = None,
    property_: Annotated[str | None, typer.Option("--property", help="What the values are, e.g. band_gap.")] = None,
    unit: Annotated[
        str | None, typer.Option(help="Unit of the values, e.g. eV; meV and the like are converted.")
    ] = None,
    negative: Annotated[
        NegativePolicy, typer.Option(help="What to do below the property's physical bound.")
    ] = "reject",
    on_duplicate: Annotated[
        DuplicatePolicy, typer.Option(help="Which value stands when rows of one composition differ.")
    ] = "first",
    method: Annotated[
        str, typer.Option(help="How the values came about, e.g. dft-pbe or measured: see `agd data methods`.")
    ] = UNSTATED,
    where: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN=VALUE", help="Read only rows with exactly that text there; repeatable."),
    ] = None,
    max_factor: Annotated[
        int,
        typer.Option(
            min=1,
            max=10_000,
            help="Fractional amounts are made whole by at most this factor: Fe0.95O by 20; 1: refused.",
        ),
    ] = 100,
    rejects: Annotated[
        Path | None,
        typer.Option(
            help="Where refused rows are written, if there are any; NAME.rejects.csv if not given, or "
            "NAME.rejects-2.csv and on where another file is called so."
        ),
    ] = None,
    force: Force = False,
    strict: Annotated[bool, typer.Option("--strict", help="Import nothing if any row is refused.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read and judge every row, store and write nothing.")
    ] = False,
    json: Json = False,
) -> None:
    """Import a table of formulas, with or without values: all good rows in one transaction, every other row named."""
    from agd.steps.data.cleaning import ImportRules
    from agd.steps.data.importing import import_dataset
    from agd.steps.data.tabular import parse_where

    show.require_outputs(rejects, force=force, reads=[file])
    conditions = parse_where(where or ())
    rules = ImportRules(formula_column, value_column, property_, unit, negative, on_duplicate, conditions, method)
    rules = replace(rules, max_factor=max_factor)
    with show.workspace() as workspace:
        summary = import_dataset(workspace, file, name, rules, dry_run=dry_run, strict=strict)
    written = None if dry_run else write_refused(summary, rejects, force=force)
    print_summary(summary, written, dry_run=dry_run, json=json)


@app.command("enumerate")
def enumerate_(
    name: Annotated[str, typer.Option(help="Name of the data set in the record.")],
    n: Annotated[int, typer.Option("-n", min=100, max=1_000_000, help="How many formulas.")] = 30_000,
    seed: Annotated[int, typer.Option(min=0, max=show.MAX_SEED)] = 0,
    max_elements: Annotated[int, typer.Option(min=2, max=6)] = 4,
    max_count: Annotated[int, typer.Option(min=2, max=20)] = 12,
    json: Json = False,
) -> None:
    """Make charge-balanced formulas: a corpus for an autoencoder where no list of real ones is at hand."""
    from agd.steps.data.importing import import_enumeration

    with show.workspace() as workspace:
        summary = import_enumeration(workspace, name, n, seed=seed, max_elements=max_elements, max_count=max_count)
    print_summary(summary, None, dry_run=False, json=json)


@app.command("list")
def list_(json: Json = False) -> None:
    """List the data sets."""
    from agd.steps.reading import overviews

    with show.workspace() as workspace, workspace.database.read() as tx:
        rows = overviews.all_datasets(tx)
    if json:
        show.print_json(rows)
        return
    if not rows:
        show.say("no data sets yet: see `agd data import --help`")
        return
    columns = [
        "name",
        "property",
        "unit",
        "method",
        "compositions",
        "structures",
        "rejected",
        "lowest",
        "mean",
        "highest",
        "source",
        "imported",
    ]
    keys = [
        *columns[:4],
        "n_compositions",
        "n_structures",
        "n_rejected",
        "lowest",
        "mean",
        "highest",
        "source",
        "imported_at",
    ]
    console.print(show.table(columns, show.cells(rows, keys)))


@app.command("show")
def show_(
    name: Annotated[str, typer.Argument(help="Name of the data set.", autocompletion=complete_dataset)],
    n_rejects: Annotated[int, typer.Option("--rejects", help="How many refused rows to show.")] = 20,
    json: Json = False,
) -> None:
    """Show a data set: origin, rules, size, value range, refused rows."""
    from agd.steps.reading import overviews
    from agd.views import as_json

    with show.workspace() as workspace, workspace.database.read() as tx:
        found = overviews.dataset(tx, name)
    if json:
        show.print_json(found)
        return
    for key, value in as_json(found).items():
        if key == "options":
            for rule, choice in value.items():
                show.say(f"{rule:>16}  {_words(choice)}")
        elif key not in {"id", "rejects"}:
            show.say(f"{key:>16}  {show.text(value)}")
    if found.rejects:
        columns = ["line", "kind", "formula", "value", "message"]
        some = found.rejects[:n_rejects]
        title = f"refused rows ({len(some)} of {len(found.rejects)})"
        console.print(show.table(columns, show.cells(some, columns), title=title))


@app.command()
def methods(json: Json = False) -> None:
    """List the methods by which values come about; of labels that differ in it the highest fidelity is shown."""
    from agd.steps.data.methods import all_methods

    with show.workspace() as workspace, workspace.database.read() as tx:
        rows = all_methods(tx)
    if json:
        show.print_json(rows)
        return
    keys = ["name", "kind", "fidelity", "n_datasets", "description"]
    console.print(show.table([*keys[:3], "data sets", "description"], show.cells(rows, keys)))


@app.command("add-method")
def add_method(
    name: Annotated[str, typer.Argument(help="Name of the method, e.g. gw.")],
    kind: Annotated[Kind, typer.Option(help="What it is.")],
    fidelity: Annotated[
        int | None,
        typer.Option(min=1, max=show.MAX_INT, help="The higher one is shown; that of the kind if not given."),
    ] = None,
    description: Annotated[str, typer.Option(help="In words.")] = "",
    json: Json = False,
) -> None:
    """Add a method by which values come about; the same again adds nothing."""
    from agd.steps.data.methods import add_method as add

    with show.workspace() as workspace:
        added = add(workspace, name, kind, fidelity, description)
    if json:
        show.print_json(added)
    else:
        show.say(f"method {added.name}: {added.kind}, fidelity {added.fidelity}")


def _words(choice: object) -> str:
    """A rule's setting; one of several parts on one line."""
    if isinstance(choice, dict):
        return "  ".join(f"{key} {show.text(value)}" for key, value in choice.items())
    return show.text(choice)


def print_summary(summary: "ImportSummary", rejects: Path | None, *, dry_run: bool, json: bool) -> None:
    """What an import of a table did."""
    if json:
        show.print_json(
            {
                "dataset": summary.dataset,
                "n_read": summary.n_read,
                "n_left_out": summary.n_left_out,
                "read_as": summary.read_as,
                "n_imported": 0 if dry_run or summary.was_there else summary.n_imported,
                "n_compositions": summary.n_imported,
                "n_new_compositions": summary.n_new_compositions,
                "n_merged": summary.n_merged,
                "n_rejected": len(summary.rejects),
                "rejected_by_kind": summary.rejects_by_kind(),
                "rejects_file": rejects,
                "notices": summary.notices,
                "was_there": summary.was_there,
                "dry_run": dry_run,
            }
        )
        return
    if summary.was_there:
        show.say(f"{summary.dataset}: is in the record already ({summary.n_imported:,} compositions); nothing added")
    else:
        verb = "would import" if dry_run else "imported"
        show.say(
            f"{summary.dataset}: {verb} {summary.n_imported:,} compositions from {summary.n_read:,} rows"
            + (f", {summary.n_new_compositions:,} of them new to the record" if not dry_run else ""),
        )
    if summary.read_as:
        show.say(f"  read as {summary.read_as}")
    if summary.n_left_out:
        show.say(f"  {summary.n_left_out:,} rows left out by --where")
    if summary.n_merged:
        show.say(f"  {summary.n_merged:,} rows repeat a composition and were merged into it")
    for notice in summary.notices:
        show.say_aside(f"  {notice}")
    say_refused(summary, rejects)
