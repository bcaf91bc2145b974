"""`agd demo`: the main job on the starter set, each step by the command a user would type."""

from importlib.resources import as_file, files

from agd.cli import campaign, data, show
from agd.cli.show import console
from agd.cli.why import why

NAME = "demo"


def demo() -> None:
    """Import the starter set, train, run a small campaign, show its best finds and explain the best one."""
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
        _announce("agd data enumerate --name charge-balanced -n 30000")
        data.enumerate_(name="charge-balanced")
        _announce("agd run demo.toml")
        campaign.run(folder / "demo.toml")
    _announce(f"agd top {NAME}")
    campaign.top(NAME)
    best = _best()
    _announce(f"agd why {best}")
    why(best, timing=True)
    console.print(
        "\nThe starter set is for demonstration: experimental gaps, recalled and not verified. Next: `agd init`, "
        "`agd data import --help`, `agd status demo`."
    )


def _best() -> str:
    from agd.steps.campaign.campaigns import get_campaign
    from agd.steps.reading import overviews

    with show.workspace() as workspace:
        found = get_campaign(workspace, NAME)
        with workspace.database.read() as tx:
            return str(overviews.top_finds(tx, found.id, 1)[0].reduced_formula)


def _announce(command: str) -> None:
    console.print(f"\n[bold]$ {command}[/]", soft_wrap=True)
