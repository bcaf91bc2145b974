"""The laws of the record are the database's word: each breach is refused by a constraint."""

from collections.abc import Iterator

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from agd.db.connection import Database, Transaction
from agd.db.removals import open_removal

SETUP = """
INSERT INTO activity (kind, agd_version, host, cpu, threads, pid) VALUES ('test', '0', 'h', 'c', 1, 1);
INSERT INTO dataset (name, source, source_sha256, recipe_sha256, property, options, n_read, n_rejected, activity_id)
    VALUES ('d', 'd.csv', 's', 'r', 'band_gap', '{}', 1, 0, 1);
INSERT INTO composition (reduced_formula, chemical_system, anonymous_formula, n_elements, n_atoms, activity_id)
    VALUES ('NaCl', 'Cl-Na', 'AB', 2, 2, 1), ('KCl', 'Cl-K', 'AB', 2, 2, 1);
INSERT INTO training_set (sha256, n_members, activity_id) VALUES ('t', 1, 1);
INSERT INTO artifact (sha256, format, n_bytes, activity_id) VALUES ('a', 'npz', 1, 1);
INSERT INTO model_version (kind, plugin, property, architecture_version, options, seed, training_set_id,
    recipe_sha256, tensors_sha256, metrics, activity_id)
    VALUES ('oracle', 'random_forest', 'band_gap', 1, '{}', 0, 1, 'm', 'a', '{}', 1);
INSERT INTO label (composition_id, property, value, dataset_id, activity_id) VALUES (1, 'band_gap', 5.0, 1, 1);
INSERT INTO campaign (name, spec_sha256, spec, spec_text, seed, property, target_low, budget_calls, agd_version)
    VALUES ('c', 's', '{}', '', 0, 'band_gap', 6, 10, '0');
INSERT INTO iteration (campaign_id, number) VALUES (1, 1);
INSERT INTO latent (model_version_id, vector, activity_id) VALUES (1, '{0,1}', 1);
INSERT INTO suggestion (campaign_id, iteration_id, rank, proposed, latent_id, activity_id, outcome, composition_id,
    decode_activity_id) VALUES (1, 1, 1, 'latent', 1, 1, 'new', 1, 1);
INSERT INTO activity (kind, campaign_id, iteration_id, agd_version, host, cpu, threads, pid, outcome, ended_at)
    VALUES ('record', 1, 1, '0', 'h', 'c', 1, 1, 'done', now());
INSERT INTO measurement (composition_id, property, operator, measured_on, replicate, activity_id)
    VALUES (2, 'band_gap', 'ada', '2026-01-02', 1, 1);
INSERT INTO screening (campaign_id, role, model_version_id, source, source_sha256, criteria, recipe_sha256, activity_id)
    VALUES (1, 'al', 1, 'pool.csv', 's', '{}', 'r', 1);
INSERT INTO structure (composition_id, cell_sha256, n_sites, space_group, lattice, atomic_numbers, frac, activity_id)
    VALUES (1, 'c', 1, 221, '{4,0,0,0,4,0,0,0,4}', '{11}', '{0,0,0}', 1);
INSERT INTO model_version (kind, plugin, property, architecture_version, options, seed, training_set_id,
    recipe_sha256, tensors_sha256, metrics, activity_id, learned_method, correction_scheme)
    VALUES ('structure_oracle', 'gatgnn', 'band_gap', 1, '{}', 0, 1, 's', 'a', '{}', 1, 'dft-pbe', 'none');
"""

_SUGGESTION = (
    "INSERT INTO suggestion (campaign_id, iteration_id, rank, proposed, latent_id, activity_id, outcome,"
    " composition_id, decode_activity_id, label_id, label_activity_id, reason) VALUES (1, 1, {}, 'latent', 1, 1, {})"
)
_STEP = (
    "INSERT INTO job (kind, title, key_sha256, campaign_id) VALUES ('encode', 'c: encode', 'k', 1);"
    "INSERT INTO activity (job_id, kind, campaign_id, iteration_id, agd_version, host, cpu, threads, pid, outcome,"
    " ended_at, lease_expires_at) SELECT max(id), 'encode', 1, {0}, '0', 'h', 'c', 1, 1, 'done', now(), now() FROM job;"
    "INSERT INTO activity (job_id, kind, campaign_id, iteration_id, agd_version, host, cpu, threads, pid, outcome,"
    " ended_at, lease_expires_at) SELECT max(id), 'encode', 1, {0}, '0', 'h', 'c', 1, 1, {1} FROM job"
)
_LABEL = "INSERT INTO label (composition_id, property, value, dataset_id, model_version_id, activity_id) VALUES ({})"
_STRUCTURE = (
    "INSERT INTO label (composition_id, value, model_version_id, structure_id, measurement_id, property, activity_id)"
    " VALUES ({}, 'band_gap', 1)"
)
_TRAINING = "INSERT INTO training_structure VALUES (1, 1, {})"

BREACHES = {
    "a label without a source": (_LABEL.format("2, 'band_gap', 1, NULL, NULL, 1"), "has_one_source"),
    "a label with two sources": (_LABEL.format("2, 'band_gap', 1, 1, 1, 1"), "has_one_source"),
    "a second label from one source": (_LABEL.format("1, 'band_gap', 4, 1, NULL, 1"), "uq_label"),
    "a label that is not a number": (_LABEL.format("2, 'band_gap', 'NaN', 1, NULL, 1"), "value_is_finite"),
    "an infinite label": (_LABEL.format("2, 'band_gap', 'Infinity', 1, NULL, 1"), "value_is_finite"),
    "a label of an unknown property": (_LABEL.format("2, 'colour', 1, 1, NULL, 1"), "fk_label_dataset_id_property"),
    "a label of what its dataset does not hold": (
        _LABEL.format("2, 'density', 1, 1, NULL, 1"),
        "fk_label_dataset_id_property",
    ),
    "a label of what its oracle does not answer": (
        _LABEL.format("2, 'density', 1, NULL, 1, 1"),
        "fk_label_model_version_id_property",
    ),
    "a label without an activity": (_LABEL.format("2, 'band_gap', 1, 1, NULL, NULL"), "activity_id"),
    "a model's answer for another composition's structure": (
        _STRUCTURE.format("2, 4.0, 2, 1, NULL"),
        "fk_label_structure_id_composition_id",
    ),
    "a second answer of a model for a structure": (
        _STRUCTURE.format("1, 4.0, 2, 1, NULL") + "; " + _STRUCTURE.format("1, 4.1, 2, 1, NULL"),
        "uq_label_model_version_structure",
    ),
    "a label of a structure that nobody answers for": (
        _STRUCTURE.format("1, 4.0, NULL, 1, 1"),
        "structure_has_its_source",
    ),
    "a model of structures that does not say what it learned from": (
        "UPDATE model_version SET learned_method = NULL WHERE id = 2",
        "structures_have_a_method",
    ),
    "a structure that is learned from and held out": (
        _TRAINING.format("1, true, true"),
        "row_has_one_use",
    ),
    "a structure with a label of none": (_TRAINING.format("1, false, false"), "fk_training_structure_label_id"),
    "a worth of structures of a model of compositions": (
        "INSERT INTO structure_evaluation VALUES (1, 1, 'held_out', 'mae', 0.1, 1, 'structure_oracle', 1)",
        "fk_structure_evaluation_model_version_id_kind",
    ),
    "a composition twice": (
        "INSERT INTO composition (reduced_formula, chemical_system, anonymous_formula, n_elements, n_atoms,"
        " activity_id) VALUES ('NaCl', 'Cl-Na', 'AB', 2, 2, 1)",
        "uq_composition",
    ),
    "a composition charged twice": (_SUGGESTION.format(2, "'new', 1, 1, NULL, NULL, NULL"), "uq_suggestion_new_once"),
    "a rank twice": (_SUGGESTION.format(1, "'undecodable', NULL, 1, NULL, NULL, NULL"), "uq_suggestion_iteration"),
    "an undecodable point with a composition": (
        _SUGGESTION.format(2, "'undecodable', 1, 1, NULL, NULL, NULL"),
        "decoded_has_composition",
    ),
    "an undecodable point with a label": (
        _SUGGESTION.format(2, "'undecodable', NULL, 1, 1, 1, NULL"),
        "label_has_activity",
    ),
    "the label of another composition": (_SUGGESTION.format(2, "'known', 2, 1, 1, 1, NULL"), "fk_suggestion_label_id"),
    "a rejection without a reason": (_SUGGESTION.format(2, "'rejected', 2, 1, NULL, NULL, NULL"), "has_reason"),
    "a step done twice": (_STEP.format(1, "'done', now(), now()"), "uq_activity_job"),
    "a step at work that is done": (_STEP.format(1, "'running', NULL, now()"), "uq_activity_job"),
    "a step of no iteration done twice": (_STEP.format("NULL", "'done', now(), now()"), "uq_activity_job"),
    "an error's class without an error": (
        "UPDATE activity SET error_class = 'transient' WHERE outcome = 'done'",
        "error_class_has_error",
    ),
    "an iteration twice": ("INSERT INTO iteration (campaign_id, number) VALUES (1, 1)", "uq_iteration"),
    "a model of an unknown kind": ("UPDATE model_version SET kind = 'guess'", "kind_is_known"),
    "a screener that answers nothing": (
        "UPDATE model_version SET kind = 'screener', property = NULL",
        "answer_has_property",
    ),
    "the measurement of another compound": (
        "INSERT INTO label (composition_id, property, value, measurement_id, activity_id)"
        " VALUES (1, 'band_gap', 1, 1, 1)",
        "fk_label_measurement_id",
    ),
    "the measurement of another property": (
        "INSERT INTO label (composition_id, property, value, measurement_id, activity_id)"
        " VALUES (2, 'density', 1, 1, 1)",
        "fk_label_measurement_id",
    ),
    "one measurement recorded twice": (
        "INSERT INTO measurement (composition_id, property, operator, measured_on, replicate, activity_id)"
        " VALUES (2, 'band_gap', 'ada', '2026-01-02', 1, 1)",
        "uq_measurement",
    ),
    "a label retracted twice": ("INSERT INTO retraction VALUES (1, 'x', 1), (1, 'y', 1)", "pk_retraction"),
    "a retraction without a reason": ("INSERT INTO retraction VALUES (1, '', 1)", "reason_is_given"),
    "a verdict of no known rule": (
        "INSERT INTO verdict (composition_id, rule, rule_version, activity_id) VALUES (1, 'hunch', 1, 1)",
        "fk_verdict_rule",
    ),
    "a campaign of no known mode": ("UPDATE campaign SET mode = 'fast'", "mode_is_known"),
    "a twin of itself": ("UPDATE campaign SET twin_of_id = id", "twin_is_another"),
    "a composition picked twice": (
        "INSERT INTO screening_hit VALUES (1, 1, 1, 1, 'NaCl', 5, 0.1), (1, 2, 1, 9, 'ClNa', 5, 0.1)",
        "uq_screening_hit",
    ),
    "a refusal without a reason": ("INSERT INTO rejection_sample VALUES (1, '', 'NaCl')", "reason_is_given"),
    "a refusal of nothing": ("INSERT INTO rejection_sample VALUES (1, 'holds Cl', '')", "formula_is_given"),
    "one refusal twice": (
        "INSERT INTO rejection_sample VALUES (1, 'holds Cl', 'NaCl'), (1, 'holds Cl', 'NaCl')",
        "pk_rejection_sample",
    ),
    "a latent with a hole": (
        "INSERT INTO latent (model_version_id, vector, activity_id) VALUES (1, '{0,NULL}', 1)",
        "vector_is_whole",
    ),
}


@pytest.fixture
def tx(database: Database) -> Iterator[Transaction]:
    with database.transaction() as opened:
        for statement in SETUP.split(";\n"):
            if statement.strip():
                opened.execute(text(statement))
        open_removal(opened, "breaches of other laws")
        yield opened


@pytest.mark.parametrize("breach", BREACHES)
def test_a_breach_is_refused(tx: Transaction, breach: str) -> None:
    statement, constraint = BREACHES[breach]
    with pytest.raises(IntegrityError, match=constraint), tx.begin_nested():
        tx.execute(text(statement))


def test_the_counters_of_the_view(tx: Transaction) -> None:
    tx.execute(text(_SUGGESTION.format(2, "'undecodable', NULL, 1, NULL, NULL, NULL")))
    tx.execute(text(_SUGGESTION.format(3, "'duplicate', 1, 1, 1, 1, NULL")))
    tx.execute(text("UPDATE suggestion SET label_id = 1, label_activity_id = 1 WHERE rank = 1"))
    row = tx.execute(text("SELECT * FROM v_campaign_progress")).mappings().one()
    counters = {key: row[key] for key in row if key.startswith("n_")}
    assert counters == {
        "n_iterations": 1,
        "n_suggested": 3,
        "n_undecodable": 1,
        "n_decodable": 2,
        "n_duplicate": 1,
        "n_known": 0,
        "n_rejected": 0,
        "n_new": 1,
        "n_charged": 1,
        "n_finds": 0,
        "n_known_finds": 0,
    }
    tx.execute(text("UPDATE campaign SET mode = 'paper', target_low = 5"))
    row = tx.execute(text("SELECT * FROM v_campaign_progress")).mappings().one()
    assert (row["n_new"], row["n_charged"], row["n_finds"]) == (1, 2, 1)
    tx.execute(text("INSERT INTO retraction VALUES (1, 'wrong sample', 1)"))
    row = tx.execute(text("SELECT * FROM v_campaign_progress")).mappings().one()
    assert (row["n_charged"], row["n_finds"], row["highest"]) == (2, 0, None)
