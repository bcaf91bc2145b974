"""`agd data import-structures | import-phases | structure`: crystals and competing phases in, and a crystal out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agd.cli import show
from agd.cli.refused import say_refused, write_refused
from agd.cli.show import Force, Json, console
from agd.methods import UNSTATED

if TYPE_CHECKING:
    from agd.steps.structures.importing import StructureSummary

Name = Annotated[str, typer.Option(help="Name of the data set in the record.")]
Rejects = Annotated[
    Path | None,
    typer.Option(help="Where refused rows are written, if there are any; NAME.rejects.csv if not given."),
]
Strict = Annotated[bool, typer.Option("--strict", help="Import nothing if any row is refused.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Read and judge everything, store and write nothing.")]


def import_structures(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH...",
            help="JSON lines, CIF files, databases of ASE, pymatgen's JSON, packed or not; or folders of them.",
        ),
    ],
    name: Name,
    method: Annotated[
        str, typer.Option(help="By which energies and gaps came about, e.g. dft-pbe: see `agd data methods`.")
    ] = UNSTATED,
    scheme: Annotated[str, typer.Option(help="How energies were corrected: none, mp2018 or mp2020.")] = UNSTATED,
    labels_where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="Take labels only of crystals with that value, e.g. label_src=id; of others the structure alone."
            " Repeatable, values of one key add up.",
        ),
    ] = None,
    rejects: Rejects = None,
    force: Force = False,
    strict: Strict = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Import crystal structures with their formation energies and gaps: all good ones in one transaction.

    What a file holds is told by its content. Each is kept by its primitive
    cell; one whose numbers are in the record already is stored once.
    """
    from agd.cli.live import training_bar
    from agd.steps.structures.entries import parse_labels_where
    from agd.steps.structures.importing import import_structures as imported

    show.require_outputs(rejects, force=force, reads=paths)
    conditions = parse_labels_where(labels_where or [])
    with show.workspace() as workspace, training_bar(f"importing {name}", has_units=False) as progress:
        summary = imported(
            workspace,
            paths,
            name,
            method=method,
            scheme=scheme,
            labels_where=conditions,
            dry_run=dry_run,
            strict=strict,
            progress=progress,
        )
    tell(summary, None if dry_run else write_refused(summary, rejects, force=force), dry_run=dry_run, json=json)


def tell(summary: "StructureSummary", written: Path | None, *, dry_run: bool, json: bool) -> None:
    """Say what an import of crystals did, and where the refused ones are written."""
    if json:
        show.print_json(
            {
                "dataset": summary.dataset,
                "n_read": summary.n_read,
                "n_imported": 0 if dry_run or summary.was_there else summary.n_imported,
                "n_structures": summary.n_structures,
                "n_new_structures": summary.n_new_structures,
                "n_compositions": summary.n_compositions,
                "n_new_compositions": summary.n_new_compositions,
                "n_labels": summary.n_labels,
                "n_rejected": len(summary.rejects),
                "rejected_by_kind": summary.rejects_by_kind(),
                "rejects_file": written,
                "notices": summary.notices,
                "was_there": summary.was_there,
                "dry_run": dry_run,
            }
        )
        return
    _say(summary, dry_run=dry_run)
    for notice in summary.notices:
        show.say_aside(f"  {notice}")
    say_refused(summary, written)


def import_phases(
    file: Annotated[Path, typer.Argument(help="A table of formulas and formation energies in eV/atom.")],
    name: Name,
    method: Annotated[str, typer.Option(help="By which the energies came about, e.g. dft-pbe.")],
    scheme: Annotated[str, typer.Option(help="How they were corrected: none, mp2018 or mp2020.")],
    formula_column: Annotated[str, typer.Option(help="Column of the formulas.")] = "formula",
    value_column: Annotated[
        str, typer.Option(help="Column of the formation energies, eV/atom.")
    ] = "formation_energy_ev_per_atom",
    rejects: Rejects = None,
    force: Force = False,
    strict: Strict = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Import competing phases without structures: of each composition the lowest formation energy, elements too."""
    from agd.cli.data import print_summary
    from agd.steps.data.importing import import_phases as imported

    show.require_outputs(rejects, force=force, reads=[file])
    with show.workspace() as workspace:
        summary = imported(
            workspace,
            file,
            name,
            method=method,
            scheme=scheme,
            columns=(formula_column, value_column),
            dry_run=dry_run,
            strict=strict,
        )
    written = None if dry_run else write_refused(summary, rejects, force=force)
    print_summary(summary, written, dry_run=dry_run, json=json)


def structure(
    name: Annotated[str, typer.Argument(help="Its name in a data set, e.g. mp-22957, or its number in the record.")],
    dataset: Annotated[
        str | None, typer.Option(help="The data set that is meant, where several have that name.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the crystal there as CIF.")] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Show a structure that was imported, or write it as CIF."""
    from agd.steps.structures.showing import show_structure, write_structure

    show.require_outputs(output, force=force)
    with show.workspace() as workspace:
        found = show_structure(workspace, name, dataset)
    if output is not None:
        write_structure(found, output, force=force)
    if json:
        show.print_json(found)
        return
    show.say(
        f"structure {found.structure_id}: {found.reduced_formula}, space group {found.space_group}, "
        f"{found.n_sites} atoms in {found.volume_a3:.2f} Å³"
    )
    columns = ["data set", "name", "made", "formation energy", "band gap", "method", "scheme"]
    keys = ["dataset", "entry", "is_experimental", "formation_energy", "band_gap", "method", "correction_scheme"]
    console.print(show.table(columns, show.cells(found.rows, keys)))
    if output is not None:
        show.say_wrote(output)


def _say(summary: "StructureSummary", *, dry_run: bool) -> None:
    if summary.was_there:
        show.say(f"{summary.dataset}: is in the record already ({summary.n_imported:,} structures); nothing added")
        return
    verb = "would import" if dry_run else "imported"
    show.say(
        f"{summary.dataset}: {verb} {summary.n_imported:,} of {summary.n_read:,} crystals: "
        f"{summary.n_structures:,} distinct cells of {summary.n_compositions:,} compositions"
    )
    if not dry_run:
        show.say(f"  {summary.n_new_structures:,} cells and {summary.n_new_compositions:,} compositions are new")
    labels = ", ".join(f"{n:,} of {name}" for name, n in summary.n_labels.items() if n)
    if labels:
        show.say(f"  labels: {labels}")
