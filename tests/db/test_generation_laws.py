"""The laws of generations: datasets that a generator made."""

from collections.abc import Iterator

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from agd.db.connection import Database, Transaction
from agd.db.reading import lineage
from agd.db.record import generations, stages
from agd.db.record.generations import GeneratedRow
from agd.db.removals import open_removal
from agd.db.upkeep import checks

SETUP = """
INSERT INTO activity (kind, agd_version, host, cpu, threads, pid) VALUES ('test', '0', 'h', 'c', 1, 1);
INSERT INTO dataset (name, source, source_sha256, recipe_sha256, options, n_read, n_rejected, activity_id)
    VALUES ('d', 'd.csv', 's', 'r', '{}', 1, 0, 1);
INSERT INTO composition (reduced_formula, chemical_system, anonymous_formula, n_elements, n_atoms, activity_id)
    VALUES ('NaCl', 'Cl-Na', 'AB', 2, 2, 1);
INSERT INTO artifact (sha256, format, n_bytes, activity_id) VALUES ('a', 'npz', 1, 1);
INSERT INTO training_set (sha256, n_members, activity_id) VALUES ('t', 1, 1);
INSERT INTO training_set_member (training_set_id, composition_id, is_held_out) VALUES (1, 1, false);
INSERT INTO training_set_source (training_set_id, dataset_id, n_members) VALUES (1, 1, 1);
INSERT INTO model_version (kind, plugin, property, architecture_version, options, seed, training_set_id,
    recipe_sha256, tensors_sha256, metrics, activity_id)
    VALUES ('generator', 'matgan', NULL, 1, '{}', 0, 1, 'e', 'a', '{}', 1)
"""

DATASET = {
    "name": "g",
    "source": "matgan, seed 5, samples 10 to 14",
    "source_sha256": "a",
    "recipe_sha256": "g",
    "property": None,
    "options": {},
    "n_read": 5,
    "n_rejected": 2,
    "activity_id": 1,
}

ROWS = [
    GeneratedRow("NaCl", "Cl-Na", "AB", 2, 2, 14, "Na2Cl2", 1, True, True),  # noqa: FBT003
    GeneratedRow("KBr", "Br-K", "AB", 2, 2, 11, "KBr", 2, None, None),
]

BREACHES = {
    "a generator that answers a property": ("UPDATE model_version SET property = 'band_gap'", "answer_has_property"),
    "a generation of nothing": ("UPDATE generation SET n_samples = 0", "n_samples_is_positive"),
    "a sample before the first": ("UPDATE generation SET first_sample = -1", "first_sample_is_a_number"),
    "a generation without a generator": ("UPDATE generation SET model_version_id = NULL", "model_version_id"),
    "a generation by what is no generator": ("UPDATE model_version SET kind = 'autoencoder'", "model_kind"),
    "two generators of one generation": ("INSERT INTO generation VALUES (2, 1, 0, 0, 1)", "pk_generation"),
    "less than nothing left": ("UPDATE stage SET n_left = -1", "n_left_is_a_count"),
    "stages of nothing that was done": ("INSERT INTO stage VALUES (9, '', 1, 'x', 1, 1)", "fk_stage_activity_id"),
    "a member with two uses": (
        "UPDATE training_set_member SET is_held_out = true, is_validation = true",
        "row_has_one_use",
    ),
}


@pytest.fixture
def tx(database: Database) -> Iterator[Transaction]:
    """A generation of two compositions, one of them in the generator's training set."""
    with database.transaction() as opened:
        for statement in SETUP.split(";\n"):
            opened.execute(text(statement))
        generated = {"model_version_id": 1, "seed": 5, "first_sample": 10, "n_samples": 5}
        dataset_id = generations.store(opened, DATASET, generated)
        assert dataset_id == 2
        stages.store(opened, 1, [("sampled", 5), ("distinct", 2)])
        generations.bring(opened, iter(ROWS))
        assert generations.store_rows(opened, dataset_id, ("rule", 1, {}), 1) == 1
        open_removal(opened, "breaches of other laws")
        yield opened


@pytest.mark.parametrize("breach", BREACHES)
def test_a_breach_is_refused(tx: Transaction, breach: str) -> None:
    statement, law = BREACHES[breach]
    with pytest.raises(IntegrityError, match=law):
        tx.execute(text(statement))


def test_what_is_there_is_not_stored_again(tx: Transaction) -> None:
    for change in ({"name": "other"}, {"recipe_sha256": "other"}):
        assert generations.store(tx, {**DATASET, **change}, {}) is None
    assert [row.generation for row in generations.overview(tx)] == ["g"]
    assert generations.stages(tx, 2) == {"sampled": 5, "distinct": 2}
    assert [tuple(row) for row in stages.of(tx, 1)] == [("sampled", 5, 5), ("distinct", 5, 2)]


def test_rows_and_their_lineage(tx: Transaction) -> None:
    found = tx.execute(text("SELECT * FROM v_generated ORDER BY sample")).all()
    keys = ("reduced_formula", "sample", "generated_formula", "n_samples", "is_charge_neutral", "seed")
    assert [tuple(getattr(row, key) for key in keys) for row in found] == [
        ("KBr", 11, "KBr", 2, None, 5),
        ("NaCl", 14, "Na2Cl2", 1, None, 5),  # the verdicts are those of the rule that speaks of validity
    ]
    verdicts = tx.execute(text("SELECT is_charge_neutral FROM verdict ORDER BY composition_id")).scalars()
    assert list(verdicts) == [True, None]
    assert lineage.ancestors(tx, found[0].composition_id) == {
        "composition": [found[0].composition_id],
        "dataset": [1, 2],
        "model_version": [1],
        "training_set": [1],
    }
    (made,) = lineage.generations(tx, 1)
    assert (made.generation, made.sample, made.generator) == ("g", 14, "matgan")


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE dataset_row SET n_rows = 3",
        "UPDATE dataset_row SET line = 9 WHERE line = 11",
        "UPDATE dataset_row SET line = 15 WHERE line = 14",
        "UPDATE generation SET n_samples = 6",
    ],
)
def test_a_doctor_sees_rows_that_cannot_be(tx: Transaction, change: str) -> None:
    (law,) = [law for law in checks.CONTRADICTIONS if law.subject == "generation"]
    assert checks.n_against(tx, law) == 0
    tx.execute(text(change))
    assert checks.n_against(tx, law) == 1
