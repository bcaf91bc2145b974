"""Phonons and elastic constants by a potential of springs, whose answers are known by hand."""

import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from sqlalchemy import text
from typer.testing import CliRunner

from agd.cli.app import app
from agd.db.record import jobs
from agd.db.upkeep import checks
from agd.errors import InputError, NotFoundError
from agd.steps import requests
from agd.steps.calculations.calculating import CalculationPlan, calculate, previewed
from agd.steps.calculations.reading import spectrum_of
from agd.steps.reading.explaining import why
from agd.steps.structures.importing import import_structures
from agd.work.workspace import Workspace

ImportKnown = Callable[[Workspace], None]

pytestmark = pytest.mark.usefixtures("quick")

PHONONS = CalculationPlan("phonons", "CsCl", "bonds", {"mesh_angstrom": 20.0})
ELASTIC = CalculationPlan("elastic", "CsCl", "bonds")
EDGE_A, UNLIKE, LIKE = 4.1, 2.0, 1.0
GPA = 160.21766208


@pytest.fixture
def known(workspace: Workspace, import_known: ImportKnown) -> Workspace:
    """A record with structures."""
    import_known(workspace)
    return workspace


def rows(workspace: Workspace, query: str) -> list[tuple[Any, ...]]:
    with workspace.database.read() as tx:
        return [tuple(row) for row in tx.execute(text(query))]


def test_phonons_are_those_of_the_springs(known: Workspace) -> None:
    phonopy = pytest.importorskip("phonopy", reason="needs the extra phonons")
    assert phonopy
    found = calculate(known, PHONONS)
    assert found.phonons is not None
    assert (found.phonons.n_imaginary, found.phonons.is_lowest, found.was_there) == (0, True, False)
    assert found.phonons.supercell == [3, 0, 0, 0, 3, 0, 0, 0, 3]
    assert found.claim == "relaxed by a potential"
    curves = spectrum_of(known, found.calculation.calculation_id)
    at_centre = curves.path_frequencies_thz[curves.path_labels.index("Γ")]
    reduced_mass = 132.905 * 35.45 / (132.905 + 35.45)
    optical = 15.633302 * np.sqrt(8 * UNLIKE / 3 / reduced_mass)  # sqrt(eV/Å²/u) in THz
    assert at_centre == pytest.approx([0, 0, 0, *[optical] * 3], abs=0.01)
    assert calculate(known, PHONONS).was_there
    assert rows(known, "SELECT count(*) FROM calculation_attempt") == [(1,)]
    with known.database.read() as tx:
        assert not [law.what for law in checks.CONTRADICTIONS if checks.n_against(tx, law)]


def test_constants_are_those_of_the_springs(known: Workspace) -> None:
    found = calculate(known, ELASTIC).elasticity
    assert found is not None
    c11, c12 = GPA * (2 * UNLIKE / 3 + 2 * LIKE) / EDGE_A, GPA * 2 * UNLIKE / 3 / EDGE_A
    matrix = np.zeros((6, 6))
    matrix[np.triu_indices(6)] = found.stiffness_gpa
    assert np.diag(matrix) == pytest.approx([*[c11] * 3, *[c12] * 3], rel=0.01)  # springs between centres: C44 = C12
    assert [matrix[0, 1], matrix[1, 2]] == pytest.approx([c12] * 2, rel=0.01)
    assert (found.is_born_stable, found.n_strained) == (True, 24)
    assert found.bulk_hill_gpa == pytest.approx((c11 + 2 * c12) / 3, rel=0.01)


def test_what_was_killed_goes_on_from_its_last_cell(known: Workspace) -> None:
    bonds = import_module("quick_plugins").Bonds
    undisturbed = calculate(known, CalculationPlan("elastic", "CsCl", "bonds", {"max_steps": 100})).elasticity
    for patience in (3, 9):
        bonds.patience = patience
        with pytest.raises(KeyboardInterrupt):
            calculate(known, ELASTIC)
    bonds.patience = float("inf")
    told: list[str] = []
    found = calculate(known, ELASTIC, lambda _done, _total, note="": told.append(note))
    (n_attempts, n_failed), *_ = rows(
        known,
        f"SELECT n_attempts, n_failed FROM v_calculation WHERE calculation_id = {found.calculation.calculation_id}",
    )
    assert (n_attempts, n_failed) == (3, 2)
    assert told[0] == "12 of 24 cells"
    assert undisturbed is not None
    assert found.elasticity is not None
    assert found.elasticity.stiffness_gpa == undisturbed.stiffness_gpa


def test_a_program_of_first_principles_serves_the_same_recipe(workspace: Workspace, tmp_path: Path) -> None:
    for package in ("phonopy", "ase"):
        pytest.importorskip(package, reason="needs the extras phonons and structures")
    crystal = {"id": "b2", "lattice": [3.15] * 3 + [90] * 3, "species": ["Cu", "Au"], "frac": [0, 0, 0, 0.5, 0.5, 0.5]}
    (tmp_path / "metal.jsonl").write_text(json.dumps({**crystal, "e_form": -0.1}) + "\n")
    import_structures(workspace, [tmp_path / "metal.jsonl"], "metal", method="dft-pbe", scheme="none")
    plan = CalculationPlan("phonons", "CuAu", "emt", {"supercell_angstrom": 6.0})
    assert not previewed(workspace, plan).is_relaxed_before
    found = calculate(workspace, plan)
    assert found.phonons is not None
    assert (found.calculation.method, found.calculation.n_parts, found.phonons.supercell[0]) == ("emt", 3, 2)
    assert found.calculation.inputs["static"]["cutoff_ev"] == 400
    assert calculate(workspace, plan).was_there
    assert not list((workspace.artifacts.parent / "calculations").iterdir())  # folders of cells go when they are done
    with pytest.raises(InputError, match="tells no stress of a cell that is held"):
        calculate(workspace, CalculationPlan("elastic", "CuAu", "emt"))
    assert rows(workspace, "SELECT outcome_class FROM calculation_attempt ORDER BY activity_id") == [
        ("done",),
        ("structure",),
    ]


def test_which_structure_is_meant(known: Workspace) -> None:
    assert previewed(known, PHONONS).n_sites_of_part == 54
    entry, number = rows(known, "SELECT entry, structure_id FROM v_structure WHERE reduced_formula = 'RbBr'")[0]
    for name in (entry, str(number), "BrRb"):
        found = previewed(known, CalculationPlan("elastic", name, "bonds"))
        assert (found.reduced_formula, found.structure_id, found.n_parts) == ("RbBr", number, 24)
    with pytest.raises(NotFoundError, match="agd structure LiF --potential bonds"):
        previewed(known, CalculationPlan("elastic", "LiF", "bonds"))
    with pytest.raises(NotFoundError, match="no structure 999"):
        previewed(known, CalculationPlan("elastic", "999", "bonds"))
    with pytest.raises(NotFoundError, match="it is no formula"):
        previewed(known, CalculationPlan("elastic", "mp-1.", "bonds"))
    with pytest.raises(InputError, match="elastic: no input mesh"):
        CalculationPlan("elastic", "LiF", "bonds", {"mesh": 1})


def test_it_can_be_left_to_workers(known: Workspace) -> None:
    ids = requests.ask(known, ELASTIC)
    assert requests.ask(known, ELASTIC) == ids
    with known.database.read() as tx:
        (due,) = jobs.some(tx, ids)
    assert (due.title, requests.category_of(due.kind)) == ("elastic constants of CsCl by bonds", "structure")
    assert requests.fulfil(known, due)
    assert rows(known, "SELECT is_done, job_id FROM v_calculation") == [(True, due.id)]


@pytest.fixture
def cli(known: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """The verbs in this process, on the record of the test."""
    monkeypatch.setenv("AGD_DATABASE_URL", known.database.url)
    monkeypatch.setenv("AGD_HOME", str(tmp_path))
    return lambda *words: CliRunner().invoke(app, list(words))


def test_verbs(cli: Callable[..., Result], tmp_path: Path) -> None:
    assert (
        "bonds would relax it, then compute 24 cells of 2 sites"
        in cli("elastic", "CsCl", "--with", "bonds", "--dry-run").stdout
    )
    page = tmp_path / "constants.svg"
    drawn = ("elastic", "CsCl", "--with", "bonds", "-o", str(page), "--beside", "C11=130")
    shown = cli(*drawn).stdout
    assert "stable by Born" in shown
    assert "130.3" in shown
    assert ">given<" in page.read_text()
    assert "--force" in str(cli(*drawn).exception)
    found = json.loads(cli("elastic", "CsCl", "--with", "bonds", "--json").stdout)
    assert (found["was_there"], found["elasticity"]["n_strained"]) == (True, 24)
    assert "no constant 'C17'" in str(cli("elastic", "CsCl", "--with", "bonds", "--beside", "C17=1").exception)
    assert "is no number" in str(cli("elastic", "CsCl", "--with", "bonds", "--beside", "C11").exception)
    told = cli("why", "CsCl").stdout
    assert "24 of 24 cells" in told
    assert "stable by Born" in told


def test_bands_are_drawn_and_told(cli: Callable[..., Result], known: Workspace, tmp_path: Path) -> None:
    pytest.importorskip("phonopy", reason="needs the extra phonons")
    page = tmp_path / "bands.svg"
    shown = cli("phonons", "CsCl", "--with", "bonds", "-o", str(page)).stdout
    assert "no imaginary mode below -0.1 THz" in shown
    assert "claim: relaxed by a potential" in shown
    assert ">frequency (THz)<" in page.read_text()
    assert [one.n_imaginary for one in why(known, "CsCl").phonons] == [0]
    assert "no imaginary mode" in cli("why", "CsCl").stdout
