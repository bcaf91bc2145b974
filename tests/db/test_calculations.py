"""Calculations happen once, keep what was computed whoever did it, and their constants and phonons speak by views."""

from collections.abc import Iterator

import numpy as np
import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from agd.db.connection import Database, Transaction
from agd.db.record import activities, calculations
from agd.db.record.calculations import Answer, Part, Recipe, Spent
from agd.db.upkeep import checks
from agd.types import Structure

SETUP = """
INSERT INTO activity (kind, agd_version, host, cpu, threads, pid)
    VALUES ('test', '0', 'h', 'c', 1, 1), ('phonons', '0', 'h', 'c', 1, 1), ('phonons', '0', 'h', 'c', 1, 1);
INSERT INTO composition (reduced_formula, chemical_system, anonymous_formula, n_elements, n_atoms, activity_id)
    VALUES ('NaCl', 'Cl-Na', 'AB', 2, 2, 1);
INSERT INTO structure (composition_id, cell_sha256, n_sites, space_group, lattice, atomic_numbers, frac, activity_id)
    VALUES (1, 'a', 2, 225, '{4,0,0,0,4,0,0,0,4}', '{11,17}', '{0,0,0,0.5,0.5,0.5}', 1),
           (1, 'b', 2, 221, '{3,0,0,0,3,0,0,0,3}', '{11,17}', '{0,0,0,0.5,0.5,0.5}', 1);
INSERT INTO potential (plugin, version, weights_sha256, activity_id) VALUES ('toy', '1', 'w', 1);
INSERT INTO relaxation (from_id, potential_id, settings, settings_sha256, outcome, structure_id, energy_ev_per_atom,
    n_steps, activity_id) VALUES (1, 1, '{}', 's', 'relaxed', 1, -3, 1, 1), (2, 1, '{}', 's', 'relaxed', 2, -2, 1, 1)
"""
RECIPE = Recipe("toy", "phonons", {"supercell": 2}, potential=("toy", "1", "w"))
CELL = Structure(4.0 * np.eye(3), ("Na", "Cl"), np.array([[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]]))
PHONONS = {
    "supercell": np.eye(3, dtype=np.int64),
    "displacement_angstrom": 0.01,
    "mesh": [1, 1, 1],
    "mesh_weights": [1],
    "mesh_frequencies_thz": np.zeros((1, 6)),
    "path_points": np.zeros((1, 3)),
    "path_distances": [0.0],
    "path_labels": ["Γ"],
    "path_frequencies_thz": np.zeros((1, 6)),
    "imaginary_below_thz": -0.1,
}


@pytest.fixture
def tx(database: Database) -> Iterator[Transaction]:
    """A record of two structures of NaCl, the first of them the lower."""
    with database.transaction() as opened:
        for statement in SETUP.split(";\n"):
            opened.execute(text(statement))
        yield opened


def opened(tx: Transaction, structure_id: int, recipe: Recipe = RECIPE) -> int:
    potential_id = None if recipe.potential is None else 1
    return calculations.open_calculation(tx, structure_id, calculations.keep_recipe(tx, recipe, potential_id, 1), 1)


def test_a_calculation_is_opened_once(tx: Transaction) -> None:
    first = opened(tx, 1)
    assert (opened(tx, 1), opened(tx, 2) == first) == (first, False)
    other = opened(tx, 1, Recipe("toy", "phonons", {"supercell": 3}, potential=("toy", "1", "w")))
    assert other != first
    assert tx.scalar(text("SELECT count(*) FROM calculation_part WHERE part = 0")) == 3
    with pytest.raises(IntegrityError, match="is_of_one_method"), tx.begin_nested():
        calculations.keep_recipe(tx, Recipe("toy", "relax", {}), None, 1)


def test_what_a_killed_attempt_computed_is_gone_on_from(tx: Transaction) -> None:
    calculation_id = opened(tx, 1)
    calculations.start_attempt(tx, 2, calculation_id, "1.0")
    moved = CELL.frac + np.array([[0.0025, 0, 0], [0, 0, 0]])
    parts = [
        Part("undisplaced", CELL),
        Part("displaced", Structure(CELL.lattice, CELL.species, moved), 0, np.array([0.01, 0.0, 0.0])),
        Part("strained", CELL, strain=np.array([0.01, 0, 0, 0, 0, 0])),
    ]
    calculations.keep_parts(tx, calculation_id, parts, 2)
    assert (calculations.part_cell(tx, calculation_id, 2).frac == moved).all()
    answer = Answer(-6.0, np.zeros((2, 3)), np.zeros(6))
    calculations.keep_answer(tx, calculation_id, 1, answer, 2)
    calculations.keep_step(tx, calculation_id, 1, CELL, answer, 2, part=3)
    activities.give_up(tx, 2)

    calculations.start_attempt(tx, 3, calculation_id, "1.1")
    calculations.keep_parts(tx, calculation_id, parts[:1], 3)
    assert calculations.parts_left(tx, calculation_id) == [2, 3]
    step = calculations.last_step(tx, calculation_id, 3)
    assert step is not None
    assert (step.number, step.activity_id) == (1, 2)
    for part in (2, 3):
        calculations.keep_answer(tx, calculation_id, part, answer, 3)
    calculations.keep_answer(tx, calculation_id, 1, Answer(-7.0, np.ones((2, 3))), 3)  # it stays as it is
    assert [(row.part, row.energy_ev, row.activity_id) for row in calculations.answers(tx, calculation_id)] == [
        (1, -6.0, 2),
        (2, -6.0, 3),
        (3, -6.0, 3),
    ]
    calculations.end_attempt(tx, 3, "done", Spent(2.5, 3.0, 1000, [{"mixer": 0.1}]))
    activities.finish(tx, 3)
    told = calculations.told(tx, calculation_id)
    assert (told.is_done, told.n_parts, told.n_parts_done) == (True, 3, 3)
    assert (told.n_attempts, told.n_failed, told.core_seconds, told.code_version) == (2, 1, 2.5, "1.1")
    with pytest.raises(IntegrityError, match="core_seconds was recorded"), tx.begin_nested():
        calculations.end_attempt(tx, 3, "done", Spent(2.6, 3.0, 1000, [{"mixer": 0.1}]))


def test_averages_are_those_of_an_isotropic_solid(tx: Transaction) -> None:
    stiffness = np.diag([3.0, 3.0, 3.0, 1.0, 1.0, 1.0]) + np.pad(np.ones((3, 3)) - np.eye(3), (0, 3))
    corner = np.triu_indices(6)
    values = {
        "stiffness_gpa": stiffness[corner],
        "compliance_per_gpa": np.linalg.inv(stiffness)[corner],
        "min_eigenvalue_gpa": 1.0,
        "is_born_stable": True,
        "n_strained": 12,
        "residual_gpa": 0.0,
    }
    calculations.store_elasticity(tx, opened(tx, 1), values, 1)
    row = tx.execute(text("SELECT * FROM v_elasticity")).one()
    # K = lambda + 2/3 mu with lambda = mu = 1, E = mu (3 lambda + 2 mu) / (lambda + mu), nu = lambda / 2 (lambda + mu)
    assert [row.bulk_voigt_gpa, row.bulk_reuss_gpa, row.bulk_hill_gpa] == pytest.approx([5 / 3] * 3)
    assert [row.shear_voigt_gpa, row.shear_reuss_gpa, row.shear_hill_gpa] == pytest.approx([1.0] * 3)
    assert (row.young_hill_gpa, row.poisson_hill, row.anisotropy) == pytest.approx((2.5, 0.25, 0.0))
    with pytest.raises(IntegrityError, match="born_is_the_least"), tx.begin_nested():
        calculations.store_elasticity(tx, opened(tx, 2), {**values, "min_eigenvalue_gpa": -1.0}, 1)


def test_phonons_of_first_principles_of_the_lowest_structure_raise_the_claim(tx: Transaction) -> None:
    def level() -> str:
        return str(tx.scalar(text("SELECT claim FROM v_claim")))

    calculations.store_phonons(tx, opened(tx, 2), {**PHONONS, "min_frequency_thz": -0.01, "n_imaginary": 0}, 1)
    assert level() == "relaxed by a potential"  # another structure lies lower
    shaking = opened(tx, 1, Recipe("toy", "phonons", {"supercell": 1}, potential=("toy", "1", "w")))
    calculations.store_phonons(tx, shaking, {**PHONONS, "min_frequency_thz": -2.0, "n_imaginary": 4}, 1)
    assert level() == "relaxed by a potential"
    calculations.store_phonons(tx, opened(tx, 1), {**PHONONS, "min_frequency_thz": -0.01, "n_imaginary": 0}, 1)
    assert level() == "relaxed by a potential"  # a potential's are told beside
    assert tx.scalar(text("SELECT has_stable_phonons FROM v_claim"))
    principled = opened(tx, 1, Recipe("toy", "phonons", {"supercell": 2}, method="dft-pbe"))
    calculations.store_phonons(tx, principled, {**PHONONS, "min_frequency_thz": -0.01, "n_imaginary": 0}, 1)
    assert level() == "phonons"
    (law,) = (law for law in checks.CONTRADICTIONS if law.subject == "calculation")
    assert checks.n_against(tx, law) == 4  # for no attempt has made them
    assert [row.is_lowest for row in tx.execute(text("SELECT is_lowest FROM v_phonons ORDER BY calculation_id"))] == [
        False,
        True,
        True,
        True,
    ]
