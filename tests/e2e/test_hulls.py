"""Hulls of labels: each method by itself, every distance with what it stands on, and what a retraction takes down."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from agd.cli.app import app
from agd.db.upkeep import checks
from agd.errors import NotFoundError
from agd.steps.data.cleaning import ImportRules
from agd.steps.data.importing import import_dataset
from agd.steps.data.labelling import retract_label
from agd.steps.structures.hulls import hull_of
from agd.work.workspace import Workspace

ENERGIES = {"SrF2": -4.0, "YF3": -4.2, "SrYF5": -4.0, "Sr": 0.02, "F2": 0.0, "NaN": 0.3}


def import_energies(workspace: Workspace, folder: Path, name: str, method: str, formulas: Sequence[str]) -> None:
    path = folder / f"{name}.csv"
    path.write_text("formula,e\n" + "".join(f"{formula},{ENERGIES[formula]}\n" for formula in formulas))
    rules = ImportRules("formula", "e", "formation_energy", "eV/atom", method=method)
    import_dataset(workspace, path, name, rules)


@pytest.fixture
def energies(workspace: Workspace, tmp_path: Path) -> Workspace:
    """A record of formation energies by one method, and of a single one by another."""
    import_energies(workspace, tmp_path, "pbe", "dft-pbe", list(ENERGIES))
    import_energies(workspace, tmp_path, "r2scan", "dft-r2scan", ["YF3"])
    return workspace


def n_activities(workspace: Workspace) -> int:
    with workspace.database.read() as tx:
        return int(tx.scalar(text("SELECT count(*) FROM activity")) or 0)


def label_of(workspace: Workspace, formula: str) -> int:
    with workspace.database.read() as tx:
        query = text("SELECT label_id FROM v_label WHERE reduced_formula = :formula AND source = 'pbe'")
        return int(tx.execute(query, {"formula": formula}).scalar_one())


def test_each_method_has_a_hull_of_its_own(energies: Workspace) -> None:
    found = hull_of(energies, "SrYF5")
    assert [(one.method, one.n_phases) for one in found.hulls] == [("dft-pbe", 5), ("dft-r2scan", 1)]
    assert found.hulls[0].products == "YF3 0.571 + SrF2 0.429"
    assert found.hulls[1].products == "F 0.571 + YF3 0.286 + Sr 0.143" or "YF3" in found.hulls[1].products
    (distance,) = found.distances
    assert distance.e_above_hull_ev_per_atom == pytest.approx(4 * 0.2 / 7)
    assert (distance.method, distance.is_standing) == ("dft-pbe", True)
    assert found.claim is not None
    assert found.claim.claim == "valid"
    assert found.claim.dft_e_above_hull_ev_per_atom == pytest.approx(4 * 0.2 / 7)
    with energies.database.read() as tx:
        assert not [law.what for law in checks.CONTRADICTIONS if checks.n_against(tx, law)]


def test_what_was_placed_is_not_placed_again(energies: Workspace) -> None:
    first = hull_of(energies, "YF3")
    before = n_activities(energies)
    assert hull_of(energies, "YF3") == first
    assert n_activities(energies) == before
    assert [one.e_above_hull_ev_per_atom for one in first.distances] == [0.0, 0.0]
    assert first.claim is not None
    assert first.claim.claim == "DFT hull"


def test_a_retraction_takes_down_what_stood_on_it(energies: Workspace) -> None:
    hull_of(energies, "YF3")
    hull_of(energies, "SrYF5")
    retract_label(energies, label_of(energies, "SrF2"), "of another compound")
    with energies.database.read() as tx:
        standing = dict(
            tx.execute(text("SELECT reduced_formula, bool_and(is_standing) FROM v_hull_distance GROUP BY 1")).all()
        )
    assert standing == {"YF3": True, "SrYF5": False}  # in Y-F there is no SrF2
    again = hull_of(energies, "SrYF5")  # on what is left
    assert again.claim is not None
    assert (again.claim.claim, again.distances[0].is_standing) == ("DFT hull", True)
    assert again.distances[0].e_above_hull_ev_per_atom == 0.0  # it is one of the phases


def test_a_formula_without_an_energy_has_a_hull_none_the_less(energies: Workspace) -> None:
    found = hull_of(energies, "Sr2YF7", method="dft-pbe")
    assert (len(found.hulls), found.distances, found.claim) == (1, [], None)


def test_what_there_are_no_phases_of_is_named(energies: Workspace) -> None:
    with pytest.raises(NotFoundError, match=r"no phases in Cl-Na: there is none at all; import some"):
        hull_of(energies, "NaCl")
    with pytest.raises(NotFoundError, match=r"no phases in F-Y by dft-hse06: there is dft-pbe \(.*\), dft-r2scan"):
        hull_of(energies, "YF3", method="dft-hse06")


def test_the_verb(energies: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGD_DATABASE_URL", energies.database.url)
    monkeypatch.setenv("AGD_HOME", str(tmp_path))
    shown = CliRunner().invoke(app, ["hull", "SrYF5"]).stdout
    assert "YF3 0.571 + SrF2 0.429" in shown
    assert "claim: valid" in shown
    assert "no energy of Sr2YF7 itself" in CliRunner().invoke(app, ["hull", "Sr2YF7"]).stdout
