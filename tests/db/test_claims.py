"""Claims: what the view says of a composition is what Python says of the same evidence, and falls with its labels."""

from collections.abc import Iterator

import pytest
from sqlalchemy import text

from agd.claims import CLAIMS, NEAR_HULL_EV_PER_ATOM, Evidence, level_of
from agd.db.connection import AnyRow, Database, Transaction
from agd.db.record import calculations

SETUP = """
INSERT INTO activity (kind, agd_version, host, cpu, threads, pid) VALUES ('test', '0', 'h', 'c', 1, 1);
INSERT INTO composition (reduced_formula, chemical_system, anonymous_formula, n_elements, n_atoms, activity_id)
    VALUES ('SrYF5', 'F-Sr-Y', 'ABC5', 3, 7, 1), ('SrF2', 'F-Sr', 'AB2', 2, 3, 1), ('BaYF5', 'Ba-F-Y', 'ABC5', 3, 7, 1)
"""
LABEL = "INSERT INTO label (composition_id, property, value, dataset_id, activity_id) VALUES (1, '{}', {}, {}, 1)"


@pytest.fixture
def tx(database: Database) -> Iterator[Transaction]:
    """A record of a formula that was guessed."""
    with database.transaction() as opened:
        run(opened, *SETUP.split(";\n"))
        yield opened


def run(tx: Transaction, *statements: str) -> None:
    for statement in statements:
        tx.execute(text(statement))


def claim(tx: Transaction) -> AnyRow:
    """The row of SrYF5, whose level is what Python makes of its evidence."""
    row = tx.execute(text("SELECT * FROM v_claim WHERE reduced_formula = 'SrYF5'")).one()
    assert row.claim == CLAIMS[row.level]
    found = Evidence(
        is_valid=row.is_valid,
        n_templates=row.n_proposed or 0,
        is_relaxed=row.is_relaxed,
        e_above_hull_ev_per_atom=row.e_above_hull_ev_per_atom,
        has_dft_gap=row.has_dft_gap,
        dft_e_above_hull_ev_per_atom=row.dft_e_above_hull_ev_per_atom,
        is_measured=row.is_measured,
        has_stable_phonons=row.has_stable_phonons,
        has_stable_dft_phonons=row.has_stable_dft_phonons,
    )
    assert row.level == level_of(found)
    return row


def dataset(tx: Transaction, name: str, property_: str, method: str) -> None:
    run(
        tx,
        "INSERT INTO dataset (name, source, source_sha256, recipe_sha256, property, options, n_read, n_rejected,"
        f" activity_id, method) VALUES ('{name}', 'f', 's', '{name}', '{property_}', '{{}}', 1, 0, 1, '{method}')",
    )


def structure(tx: Transaction, composition: int, sha256: str) -> int:
    values = {"composition": composition, "sha256": sha256}
    return int(tx.execute(text(STRUCTURE), values).scalar_one())


STRUCTURE = """
INSERT INTO structure (composition_id, cell_sha256, n_sites, space_group, lattice, atomic_numbers, frac, activity_id)
VALUES (:composition, :sha256, 1, 1, '{1,0,0,0,1,0,0,0,1}', '{1}', '{0,0,0}', 1) RETURNING id
"""


def search(tx: Transaction, n_proposed: int) -> None:
    run(
        tx,
        "INSERT INTO template_search (composition_id, plugin, plugin_version, options, n_searched, n_proposed,"
        f" recipe_sha256, activity_id) VALUES (1, 'substitution', '1', '{{}}', 9, {n_proposed}, 'r{n_proposed}', 1)",
    )


def relax(tx: Transaction, from_id: int, energy: float | None) -> int:
    became = from_id if energy is not None else None
    values = {"from": from_id, "became": became, "energy": energy, "n": 0}
    values |= {
        "outcome": "refused" if energy is None else "relaxed",
        "why": "it flew apart" if energy is None else None,
    }
    return int(
        tx.execute(
            text(
                "INSERT INTO relaxation (from_id, potential_id, settings, settings_sha256, outcome, structure_id,"
                " energy_ev_per_atom, n_steps, reason, activity_id) VALUES (:from, 1, '{}', 's', :outcome, :became,"
                " :energy, :n, :why, 1) RETURNING id"
            ),
            values,
        ).scalar_one()
    )


POTENTIAL = "INSERT INTO potential (plugin, version, weights_sha256, activity_id) VALUES ('chgnet', '0.4.2', 'w', 1)"
SET = (
    "INSERT INTO phase_set (chemical_system, potential_id, method, correction_scheme, sha256, activity_id)"
    " VALUES ('F-Sr-Y', {}, {}, {}, '{}', 1)"
)
DISTANCE = (
    "INSERT INTO hull_distance (phase_set_id, composition_id, relaxation_id, label_id, potential_id,"
    " e_form_ev_per_atom, hull_ev_per_atom, activity_id) VALUES ({}, 1, {}, {}, {}, {}, -4.0, 1)"
)


def shake(tx: Transaction) -> None:
    """Phonons without an imaginary mode of the one structure that a potential relaxed."""
    run(tx, POTENTIAL)
    structure_id = structure(tx, 1, "a")
    relax(tx, structure_id, -6.0)
    recipe = calculations.Recipe("toy", "phonons", {}, potential=("chgnet", "0.4.2", "w"))
    opened = calculations.open_calculation(tx, structure_id, calculations.keep_recipe(tx, recipe, 1, 1), 1)
    values = {"supercell": [1, 0, 0, 0, 1, 0, 0, 0, 1], "displacement_angstrom": 0.01, "mesh": [1, 1, 1]}
    values |= {"mesh_weights": [1], "mesh_frequencies_thz": [[0.0] * 3], "path_points": [[0.0] * 3]}
    values |= {"path_distances": [0.0], "path_labels": ["Γ"], "path_frequencies_thz": [[0.0] * 3]}
    values |= {"imaginary_below_thz": -0.1, "min_frequency_thz": 0.0, "n_imaginary": 0}
    calculations.store_phonons(tx, opened, values, 1)


def test_a_claim_rises_with_what_speaks_for_it(tx: Transaction) -> None:
    assert claim(tx).claim == "guessed"
    run(tx, "INSERT INTO verdict_rule VALUES ('rule', 1, '{}')")
    run(tx, "INSERT INTO verdict VALUES (1, 'rule', 1, true, true, 1)")
    assert claim(tx).claim == "valid"
    search(tx, 0)
    found = claim(tx)
    assert (found.claim, found.structure_novelty) == ("valid", "new family")  # no analogue is an answer, and no refusal
    search(tx, 2)
    found = claim(tx)
    assert (found.claim, found.structure_novelty) == ("has a template", "substitution of a known family")
    run(tx, POTENTIAL)
    relax(tx, structure(tx, 1, "a"), None)
    assert claim(tx).claim == "has a template"
    relaxation = relax(tx, structure(tx, 1, "b"), -6.0)
    assert claim(tx).claim == "relaxed by a potential"
    run(tx, SET.format(1, "NULL", "NULL", "p"), DISTANCE.format(1, relaxation, "NULL", 1, -4.0 + 0.06))
    assert claim(tx).claim == "relaxed by a potential"
    run(tx, SET.format(1, "NULL", "NULL", "q"), DISTANCE.format(2, relaxation, "NULL", 1, -4.0 + 0.04))
    found = claim(tx)
    assert (found.claim, found.potential) == ("near the potential's hull", "chgnet")
    assert found.e_above_hull_ev_per_atom == pytest.approx(0.04)
    assert NEAR_HULL_EV_PER_ATOM == 0.05
    dataset(tx, "gaps", "band_gap", "dft-pbe")
    run(tx, LABEL.format("band_gap", 6.3, 1))
    assert claim(tx).claim == "DFT gap"
    run(tx, "INSERT INTO retraction VALUES (1, 'too few bands', 1)")
    assert claim(tx).claim == "near the potential's hull"


def test_what_was_made_from_a_known_structure_of_the_formula_is_known(tx: Transaction) -> None:
    dataset(tx, "known", "band_gap", "dft-pbe")
    run(tx, "INSERT INTO dataset_row VALUES (1, 1, 1, 'SrYF5', 1)", POTENTIAL)
    search(tx, 3)
    run(tx, "INSERT INTO template_search_source VALUES (1, 1)")
    imported, own, other = (structure(tx, 1, name) for name in ("imported", "own", "other"))
    foreign = structure(tx, 3, "foreign")
    run(tx, f"INSERT INTO structure_row VALUES (DEFAULT, 1, 'mp-1', 1, {imported}, 1)")
    candidate = "INSERT INTO structure_candidate VALUES (1, {}, {}, {}, '{{}}', 0)"
    run(tx, candidate.format(1, own, imported), candidate.format(2, other, foreign))
    relax(tx, imported, -6.0)
    relax(tx, own, -6.1)
    assert claim(tx).structure_novelty == "known formula and structure"
    relax(tx, other, -6.2)
    assert claim(tx).structure_novelty == "known formula, other structure"


def test_a_retracted_energy_of_a_phase_lowers_what_stood_on_it(tx: Transaction) -> None:
    dataset(tx, "energies", "formation_energy", "dft-pbe")
    run(tx, LABEL.format("formation_energy", -4.0, 1))
    run(tx, LABEL.format("formation_energy", -4.0, 1).replace("(1, ", "(2, "))
    run(
        tx,
        SET.format("NULL", "'dft-pbe'", "'mp2018'", "p"),
        "INSERT INTO phase_set_member VALUES (1, 1, 2, -4.0, NULL, 2)",
    )
    run(tx, DISTANCE.format(1, "NULL", 1, "NULL", -4.0))
    assert claim(tx).claim == "DFT hull"
    shake(tx)
    assert claim(tx).claim == "phonons"
    run(tx, "INSERT INTO retraction VALUES (2, 'wrong cell', 1)")
    assert claim(tx).claim == "relaxed by a potential"  # whose phonons are told beside, and lift nothing
    assert claim(tx).has_stable_phonons
    dataset(tx, "lab", "band_gap", "measured")
    run(tx, LABEL.format("band_gap", 6.0, 2))
    assert claim(tx).claim == "measured"
