"""`agd demo`: the main job on the starter set, each step by the command a user would type."""

from importlib.resources import as_file, files
from typing import Annotated

import typer

from agd.cli import campaign, data, show
from agd.cli.show import console
from agd.cli.why import why

_N_TOP = 20


def demo(
    paper: Annotated[
        bool, typer.Option("--paper", help="The published loop: an autoencoder, latent points, decode failures.")
    ] = False,
) -> None:
    """Import the starter set, train, run a small campaign, show its best finds and explain one of them."""
    name = "demo-paper" if paper else "demo"
    with as_file(files("agd") / "data") as folder:
        starter = folder / "starter.csv"
        _announce(
            "agd data import starter.csv --name starter --formula-column formula --value-column band_gap_ev "
            "--property band_gap --unit eV"
        )
        data.import_(
            starter,
            name="starter",
            formula_column="formula",
            value_column="band_gap_ev",
            property_="band_gap",
            unit="eV",
        )
        if paper:
            _announce("agd data enumerate --name charge-balanced -n 30000")
            data.enumerate_(name="charge-balanced")
        _announce(f"agd run {name}.toml")
        campaign.run(folder / f"{name}.toml")
    _announce(f"agd top {name} -n {_N_TOP}")
    campaign.top(name, _N_TOP)
    best = _best(name)
    _announce(f"agd why {best}")
    why(best, timing=True)
    console.print(
        "\nThe starter set is for demonstration: experimental gaps, recalled and not verified. Next: `agd init`, "
        f"`agd data import --help`, `agd status {name}`, `agd report {name}`."
    )


def _best(name: str) -> str:
    """The best find that nobody knew; the best of all where everything was known."""
    from agd.steps.campaign.campaigns import get_campaign
    from agd.steps.reading import overviews

    with show.workspace() as workspace:
        found = get_campaign(workspace, name)
        with workspace.database.read() as tx:
            best = overviews.top_finds(tx, found.id, found.spec.budget.oracle_calls)
    return str(next((row for row in best if not row.is_known), best[0]).reduced_formula)


def _announce(command: str) -> None:
    console.print(f"\n[bold]$ {command}[/]", soft_wrap=True)
