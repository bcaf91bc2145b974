"""`agd data import-optimade`: crystals from providers that speak OPTIMADE."""

from typing import Annotated

import typer

from agd.cli import show
from agd.cli.refused import write_refused
from agd.cli.show import Force, Json
from agd.cli.structure_data import DryRun, Name, Rejects, Strict, tell
from agd.methods import UNSTATED


def import_optimade(
    url: Annotated[str, typer.Argument(help="Base address of a provider, e.g. http://localhost:8000/optimade.")],
    name: Name,
    filter_: Annotated[
        str, typer.Option("--filter", help='What is wanted, in OPTIMADE\'s words: \'elements HAS ALL "Sr","F"\'.')
    ] = "",
    formation_energy: Annotated[
        str | None, typer.Option(metavar="FIELD", help="The provider's field of formation energies, eV/atom.")
    ] = None,
    band_gap: Annotated[
        str | None, typer.Option(metavar="FIELD", help="The provider's field of band gaps, eV.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Take so many at most.")] = None,
    method: Annotated[
        str, typer.Option(help="By which energies and gaps came about: see `agd data methods`.")
    ] = UNSTATED,
    scheme: Annotated[str, typer.Option(help="How energies were corrected: none, mp2018 or mp2020.")] = UNSTATED,
    rejects: Rejects = None,
    force: Force = False,
    strict: Strict = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Import crystal structures from a provider of OPTIMADE: all good ones in one transaction.

    Another record's pages are one, too: `agd web` answers at /optimade.
    """
    from pathlib import Path
    from tempfile import TemporaryDirectory

    from agd.cli.live import training_bar
    from agd.steps.structures.importing import import_structures
    from agd.steps.structures.optimade import OptimadeQuery, fetch

    show.require_outputs(rejects, force=force)
    query = OptimadeQuery(url, filter_, formation_energy, band_gap, limit)
    with show.workspace() as workspace, TemporaryDirectory(prefix="agd-") as folder:
        fetched = Path(folder) / "structures.jsonl"
        with training_bar(f"fetching {name}", has_units=False) as progress:
            fetch(query, fetched, progress)
        with training_bar(f"importing {name}", has_units=False) as progress:
            summary = import_structures(
                workspace,
                [fetched],
                name,
                method=method,
                scheme=scheme,
                source=query.source,
                dry_run=dry_run,
                strict=strict,
                progress=progress,
            )
    tell(summary, None if dry_run else write_refused(summary, rejects, force=force), dry_run=dry_run, json=json)
