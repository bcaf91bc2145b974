"""Labels whose source is a calculation are of its structure, one for each property; going back never forgets them."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from agd.db import schema
from agd.db.connection import Database, Transaction
from agd.db.record import calculations, dft
from agd.db.record.calculations import Recipe

SETUP = """
INSERT INTO activity (kind, agd_version, host, cpu, threads, pid) VALUES ('dft', '0', 'h', 'c', 1, 1);
INSERT INTO composition (reduced_formula, chemical_system, anonymous_formula, n_elements, n_atoms, activity_id)
    VALUES ('NaCl', 'Cl-Na', 'AB', 2, 2, 1);
INSERT INTO structure (composition_id, cell_sha256, n_sites, space_group, lattice, atomic_numbers, frac, activity_id)
    VALUES (1, 'a', 2, 225, '{4,0,0,0,4,0,0,0,4}', '{11,17}', '{0,0,0,0.5,0.5,0.5}', 1),
           (1, 'b', 2, 221, '{3,0,0,0,3,0,0,0,3}', '{11,17}', '{0,0,0,0.5,0.5,0.5}', 1)
"""
RECIPE = Recipe("vasp", "gap", {}, method="dft-pbe")


def labelled(tx: Transaction, structure_id: int | None = 1) -> None:
    of = {"composition_id": 1, "property": "band_gap", "value": 5.0, "calculation_id": 1, "activity_id": 1}
    dft.store_label(tx, {**of, "structure_id": structure_id})


def test_a_label_is_of_the_structure_that_was_computed(database: Database) -> None:
    with database.transaction() as tx:
        for statement in SETUP.split(";\n"):
            tx.execute(text(statement))
        calculations.open_calculation(tx, 1, calculations.keep_recipe(tx, RECIPE, None, 1), 1)
        for wrong, rule in ((None, "structure_has_its_source"), (2, "calculation_id_structure_id")):
            with pytest.raises(IntegrityError, match=rule), tx.begin_nested():
                labelled(tx, wrong)
        labelled(tx)
        with pytest.raises(IntegrityError, match="uq_label_calculation"), tx.begin_nested():
            labelled(tx)
        query = text("SELECT method, source_kind, source, structure_id FROM v_label")
        assert tuple(tx.execute(query).one()) == ("dft-pbe", "calculation", "vasp", 1)
        assert tx.scalar(text("SELECT claim FROM v_claim WHERE reduced_formula = 'NaCl'")) == "DFT gap"
    with pytest.raises(RuntimeError, match="no place for labels of calculations"), database.transaction() as tx:
        schema.downgrade(tx, "0021")
