"""The record refuses what would falsify it, takes what is filled in later, and has one door."""

from collections.abc import Iterator

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError

from agd.db import schema
from agd.db.connection import Database, Transaction
from agd.db.reading import progress
from agd.db.record import activities, campaigns, jobs, suggestions
from agd.db.removals import open_removal
from agd.db.tables import metadata
from agd.db.upkeep import inventory

SETUP = """
INSERT INTO activity (kind, agd_version, host, cpu, threads, pid) VALUES ('test', '0', 'h', 'c', 1, 1);
INSERT INTO dataset (name, source, source_sha256, recipe_sha256, property, options, n_read, n_rejected, activity_id)
    VALUES ('d', 'd.csv', 's', 'r', 'band_gap', '{}', 1, 0, 1);
INSERT INTO composition (reduced_formula, chemical_system, anonymous_formula, n_elements, n_atoms, activity_id)
    VALUES ('NaCl', 'Cl-Na', 'AB', 2, 2, 1), ('KCl', 'Cl-K', 'AB', 2, 2, 1), ('KF', 'F-K', 'AB', 2, 2, 1);
INSERT INTO dataset_row VALUES (1, 1, 2, 'NaCl', 1);
INSERT INTO dataset_reject VALUES (1, 3, 'k', 'f', 'v', 'm');
INSERT INTO verdict_rule VALUES ('rule', 1, '{}');
INSERT INTO verdict (composition_id, rule, rule_version, activity_id) VALUES (1, 'rule', 1, 1);
INSERT INTO training_set (sha256, n_members, activity_id) VALUES ('t', 1, 1);
INSERT INTO artifact (sha256, format, n_bytes, activity_id) VALUES ('a', 'npz', 1, 1);
INSERT INTO model_version (kind, plugin, property, architecture_version, options, seed, training_set_id,
    recipe_sha256, tensors_sha256, metrics, activity_id)
    VALUES ('oracle', 'random_forest', 'band_gap', 1, '{}', 0, 1, 'm', 'a', '{}', 1),
           ('generator', 'matgan', NULL, 1, '{}', 0, 1, 'g', 'a', '{}', 1);
INSERT INTO label (composition_id, property, value, dataset_id, activity_id) VALUES (1, 'band_gap', 5, 1, 1);
INSERT INTO measurement (composition_id, property, operator, measured_on, replicate, activity_id)
    VALUES (1, 'band_gap', 'ada', '2026-01-02', 1, 1), (1, 'band_gap', 'ada', '2026-01-02', 2, 1);
INSERT INTO label (composition_id, property, value, measurement_id, activity_id)
    VALUES (1, 'band_gap', 6.5, 1, 1), (1, 'band_gap', 7.5, 2, 1);
INSERT INTO training_set_member (training_set_id, composition_id, label_id, is_held_out) VALUES (1, 1, 1, false);
INSERT INTO training_set_source VALUES (1, 1, 1);
INSERT INTO campaign (name, spec_sha256, spec, spec_text, seed, property, target_low, budget_calls, agd_version)
    VALUES ('c', 's', '{}', '', 0, 'band_gap', 6, 10, '0');
INSERT INTO training_set_campaign VALUES (1, 1, 1, 1);
INSERT INTO campaign_set VALUES (1, 'initial', 1, 1);
INSERT INTO campaign_model VALUES (1, 'oracle', 1, 1);
INSERT INTO campaign_pool VALUES (1, 1, 1);
INSERT INTO generation VALUES (1, 2, 0, 0, 1);
INSERT INTO evaluation VALUES (1, 1, 'r2', 0.5, 1, 'band_gap', 1);
INSERT INTO iteration (campaign_id, number) VALUES (1, 1);
INSERT INTO latent (model_version_id, vector, activity_id) VALUES (1, '{0,1}', 1);
INSERT INTO suggestion (campaign_id, iteration_id, rank, proposed, latent_id, activity_id, outcome, composition_id,
    decode_activity_id, label_id, label_activity_id, posterior_mean) VALUES
    (1, 1, 1, 'latent', 1, 1, 'new', 1, 1, 1, 1, 0), (1, 1, 2, 'latent', 1, 1, 'new', 2, 1, NULL, NULL, 0),
    (1, 1, 3, 'latent', 1, 1, 'undecodable', NULL, 1, NULL, NULL, 0), (1, 1, 4, 'latent', 1, 1, NULL, NULL, NULL, NULL,
    NULL, 0), (1, 1, 5, 'latent', 1, 1, 'new', 3, 1, NULL, NULL, 0);
INSERT INTO dataset_tally VALUES (1, 3, 1, 1, 2, 3, 1);
INSERT INTO iteration_tally VALUES (1, 1, 5, 1, 3, 0, 0, 0, 1, 1, 0, 0, NULL, NULL, NULL, NULL, 99, 1);
INSERT INTO suggestion_parent VALUES (1, 2, 'a swap', 1);
INSERT INTO campaign_known VALUES (1, 1, 1);
INSERT INTO campaign_target VALUES (1, 2, 'band_gap', -100, NULL, 1);
INSERT INTO suggestion_label VALUES (1, 2, 2, 1, 1);
INSERT INTO suggestion_expectation VALUES (1, 2, -2, 0.1, 1);
INSERT INTO campaign_amendment VALUES (1, 1, 'budget.oracle_calls', 10, 20, 0, NULL, NULL, 1);
INSERT INTO decode_failure VALUES (3, 'no counts', 1);
INSERT INTO retraction VALUES (1, 'wrong sample', 1);
INSERT INTO given_up VALUES (5, 'it decomposes', 1);
INSERT INTO label_replacement VALUES (1, 1, 2, 1, 1);
INSERT INTO screening (campaign_id, role, model_version_id, source, source_sha256, criteria, recipe_sha256, activity_id)
    VALUES (1, 'al', 1, 'pool.csv', 's', '{}', 'r', 1);
INSERT INTO stage VALUES (1, 'al', 1, 'read', 1, 1);
INSERT INTO screening_hit VALUES (1, 1, 1, 1, 'NaCl', 5, 0.1);
INSERT INTO rejection_sample VALUES (1, 'holds F', 'KF');
INSERT INTO removal (reason) VALUES ('once');
INSERT INTO campaign_event (campaign_id, kind, value, operator, activity_id) VALUES (1, 'note', 'n', 'ada', 1);
INSERT INTO campaign_removal VALUES (1, 'gone', 'ada', now(), '', NULL, 0, 0, 0, 0, 1);
INSERT INTO campaign_hash (campaign_id, function, n_steps, sha256, activity_id) VALUES (1, 'f', 0, 'h', 1);
INSERT INTO dataset_hash (dataset_id, function, sha256, activity_id) VALUES (1, 'f', 'h', 1);
INSERT INTO structure (composition_id, cell_sha256, n_sites, space_group, lattice, atomic_numbers, frac, activity_id)
    VALUES (1, 'c', 1, 221, '{4,0,0,0,4,0,0,0,4}', '{11}', '{0,0,0}', 1);
INSERT INTO structure_row (dataset_id, entry, line, structure_id, composition_id) VALUES (1, 'mp-1', 1, 1, 1);
INSERT INTO template_search (composition_id, plugin, plugin_version, options, n_searched, n_proposed, recipe_sha256,
    activity_id) VALUES (1, 'substitution', '1', '{}', 1, 1, 'r', 1);
INSERT INTO template_search_source VALUES (1, 1);
INSERT INTO structure_candidate VALUES (1, 1, 1, 1, '{}', 0);
INSERT INTO potential (plugin, version, weights_sha256, activity_id) VALUES ('chgnet', '1', 'w', 1);
INSERT INTO relaxation (from_id, potential_id, settings, settings_sha256, outcome, structure_id, energy_ev_per_atom,
    max_force_ev_per_angstrom, volume_ratio, n_steps, reason, activity_id)
    VALUES (1, 1, '{}', 's', 'relaxed', 1, -3, 0.01, 1.01, 9, NULL, 1),
           (1, 1, '{}', 't', 'refused', NULL, NULL, NULL, 7.9, 9, 'it flew apart', 1);
INSERT INTO phase_set (chemical_system, potential_id, method, correction_scheme, sha256, activity_id)
    VALUES ('Cl-Na', 1, NULL, NULL, 'p', 1), ('Cl-Na', NULL, 'dft-pbe', 'none', 'q', 1);
INSERT INTO phase_set_member VALUES (1, 1, 1, -2, 1, NULL), (2, 1, 1, -2, NULL, 2);
INSERT INTO hull_distance (phase_set_id, composition_id, relaxation_id, label_id, potential_id, e_form_ev_per_atom,
    hull_ev_per_atom, activity_id) VALUES (1, 1, 1, NULL, 1, -2, -2, 1), (2, 1, NULL, 2, NULL, -2, -2, 1);
INSERT INTO decomposition VALUES (1, 1, 1, 1);
INSERT INTO label (composition_id, property, value, structure_row_id, structure_id, activity_id)
    VALUES (1, 'band_gap', 5, 1, 1, 1);
INSERT INTO training_set (sha256, n_members, activity_id) VALUES ('u', 1, 1);
INSERT INTO model_version (kind, plugin, property, architecture_version, options, seed, training_set_id,
    recipe_sha256, tensors_sha256, metrics, activity_id, learned_method, correction_scheme)
    VALUES ('structure_oracle', 'gatgnn', 'band_gap', 1, '{}', 0, 2, 's', 'a', '{}', 1, 'dft-pbe', 'none');
INSERT INTO training_structure SELECT 2, 1, id, false, false FROM label WHERE structure_id = 1;
INSERT INTO structure_evaluation VALUES (3, 1, 'held_out', 'mae', 0.1, 1, 'structure_oracle', 1);
INSERT INTO label (composition_id, property, value, model_version_id, structure_id, activity_id)
    VALUES (1, 'band_gap', 5.2, 3, 1, 1);
INSERT INTO activity (kind, campaign_id, iteration_id, agd_version, host, cpu, threads, pid, outcome, ended_at)
    VALUES ('record', 1, 1, '0', 'h', 'c', 1, 1, 'done', now());
INSERT INTO job (kind, title, key_sha256, campaign_id, iteration, programs, hours)
    VALUES ('suggest', 'c: suggest 1', agd_step_key('c', 'suggest', 1), 1, 1, '{gpaw}', 2),
           ('decode', 'c: decode 1', agd_step_key('c', 'decode', 1), 1, 1, '{}', NULL);
INSERT INTO job_after VALUES (2, 1);
INSERT INTO activity (kind, campaign_id, iteration_id, agd_version, host, cpu, threads, pid, job_id, lease_expires_at)
    VALUES ('suggest', 1, 1, '0', 'h', 'c', 1, 1, 1, now());
INSERT INTO calculation_recipe (engine, potential_id, kind, inputs, sha256, activity_id)
    VALUES ('chgnet', 1, 'phonons', '{}', 'r', 1);
INSERT INTO calculation (structure_id, recipe_id, job_id, campaign_id, screening_id, activity_id)
    VALUES (1, 1, 1, 1, 1, 1);
INSERT INTO calculation_part (calculation_id, part, role, activity_id) VALUES (1, 0, 'whole', 1);
INSERT INTO calculation_part VALUES
    (1, 1, 'displaced', '{4,0,0,0,4,0,0,0,4}', '{11}', '{0.002,0,0}', 0, '{0.01,0,0}', NULL, 1),
    (1, 2, 'strained', '{4.04,0,0,0,4,0,0,0,4}', '{11}', '{0,0,0}', NULL, NULL, '{0.01,0,0,0,0,0}', 1);
INSERT INTO calculation_attempt VALUES (1, 1, 0, '0.4.2', 1, 1, 1, 'done', 9, 10, 11, '[]', '/tmp', 'f');
INSERT INTO calculation_step VALUES
    (1, 0, 1, -3, '{4,0,0,0,4,0,0,0,4}', '{0,0,0}', '{0,0,0}', '{0,0,0,0,0,0}', 1);
INSERT INTO calculation_energy VALUES
    (1, 1, -3, '{4,0,0,0,4,0,0,0,4}', '{0,0,0}', '{0,0,0}', '{0,0,0,0,0,0}', 1);
INSERT INTO calculation_relaxed VALUES (1, 1, 1, 1, 1);
INSERT INTO calculation_gap VALUES (1, 5, 5, '{0,0,0}', '{0,0,0}', '{0,0,0}', 1, 1, false, 1);
INSERT INTO calculation_elasticity VALUES (1, array_fill(1.0::float8, '{21}'), array_fill(1.0::float8, '{21}'), 1, true,
    12, 0, 1);
INSERT INTO calculation_phonons VALUES (1, '{1,0,0,0,1,0,0,0,1}', 0.01, '{1,1,1}', '{1}', '{0,0,0}', '{0,0,0}', '{0}',
    '{G}', '{0,0,0}', 0, -0.1, 0, 1)
"""
FREE = "state reason priority n_cores hours programs retries_from not_before"
"""What says how a job stands."""

TABLES = sorted(table.name for table in metadata.tables.values() if table.schema is None)


LATER_TABLES = {
    "campaign_event": "notes, tags and earlier names of campaigns",
    "campaign_removal": "campaigns that were deleted",
    "calculation_phonons": "calculations",
    "calculation_elasticity": "calculations",
    "calculation_gap": "calculations",
    "calculation_relaxed": "calculations",
    "calculation_energy": "calculations",
    "calculation_step": "calculations",
    "calculation_attempt": "calculations",
    "calculation_part": "calculations",
    "calculation": "calculations",
    "calculation_recipe": "calculations",
    "training_structure": "structures that models learned from",
    "structure_evaluation": "what models of structures are worth",
    "label WHERE model_version_id = 3": "answers of models for structures",
    "model_version WHERE id = 3": "models of structures",
    "structure_candidate": "searches for templates",
    "template_search_source": "searches for templates",
    "template_search": "searches for templates",
    "decomposition": "potentials and what they relaxed",
    "hull_distance": "potentials and what they relaxed",
    "phase_set_member": "potentials and what they relaxed",
    "phase_set": "potentials and what they relaxed",
    "relaxation": "potentials and what they relaxed",
    "potential": "potentials and what they relaxed",
    "label WHERE structure_id IS NOT NULL": "labels of structures",
    "structure_row": "rows of datasets with structures",
    "structure": "structures",
}
"""What 0015 has no place for, and what 0017 has none for, in an order in which it can go, and how that is said."""


@pytest.fixture
def tx(database: Database) -> Iterator[Transaction]:
    """A record with at least one row in every table."""
    with database.transaction() as opened:
        for statement in SETUP.split(";\n"):
            opened.execute(text(statement))
        yield opened


def refused(tx: Transaction, statement: str, match: str) -> None:
    with pytest.raises(IntegrityError, match=match), tx.begin_nested():
        tx.execute(text(statement))


@pytest.mark.parametrize("table", TABLES)
def test_rows_stay(tx: Transaction, table: str) -> None:
    assert tx.scalar(text(f"SELECT count(*) FROM {table}"))
    refused(tx, f"DELETE FROM {table}", rf"{table} .+: what was recorded is not removed; .*`agd ")
    refused(tx, f"TRUNCATE {table} CASCADE", "what was recorded is not removed")


@pytest.mark.parametrize("table", TABLES)
def test_every_value_stays(tx: Transaction, table: str) -> None:
    """Column by column, whatever its type: only what says how a campaign stands may change."""
    columns = tx.execute(
        text(
            "SELECT attname AS name, format_type(atttypid, atttypmod) AS type, attidentity <> '' AS is_identity"
            " FROM pg_attribute WHERE attrelid = CAST(:table AS regclass) AND attnum > 0 AND NOT attisdropped"
        ),
        {"table": table},
    ).all()
    other = {"text": "{0} || '!'", "boolean": "NOT {0}", "jsonb": "{0} || '{{\"x\": 1}}'", "real[]": "{0} || 1.0::real"}
    other |= {"smallint[]": "{0} || 1::smallint", "integer[]": "{0} || 1", "text[]": "{0} || 'x'::text"}
    other |= {"double precision[]": "{0} || 1.0::float8"}
    other |= {"timestamp with time zone": "{0} + interval '1 s'"}
    free = {"campaign": {"stop_requested_at", "engine", "retries_from", "parked_reason"}, "job": set(FREE.split())}
    where = "outcome <> 'running'" if table == "activity" else "true"
    for column in columns:
        if (
            column.name in free.get(table, set()) or column.is_identity
        ):  # the database itself refuses to set an identity
            continue
        change = other.get(column.type, "{0} + 1").format(column.name)
        if not tx.scalar(text(f"SELECT count({column.name}) FROM {table} WHERE {where}")):
            continue
        refused(
            tx,
            f"UPDATE {table} SET {column.name} = {change} WHERE {column.name} IS NOT NULL AND {where}",
            f"{column.name} was recorded and stays as it is",
        )


@pytest.mark.parametrize(
    ("statement", "match"),
    [
        ("UPDATE label SET value = 6 WHERE id = 1", r"label 1: value was .*withdraw .* `agd label retract 1`"),
        ("UPDATE label SET uncertainty = 0.1", "label 1: uncertainty was"),  # that the source states none is a fact
        ("UPDATE suggestion SET label_id = 2 WHERE id = 1", "suggestion 1: label_id was .*`agd tell`"),
        ("UPDATE suggestion SET outcome = 'unanswered', reason = 'x' WHERE id = 2", "suggestion 2: outcome was"),
        ("UPDATE suggestion SET outcome = NULL, decode_activity_id = NULL WHERE id = 2", "suggestion 2: outcome was"),
        ("UPDATE suggestion SET posterior_mean = '-0' WHERE id = 2", "posterior_mean was"),
        ("UPDATE suggestion SET posterior_sd = 1 WHERE id = 2", "posterior_sd was"),
        ("UPDATE training_set_member SET is_held_out = true", "training_set_member 1, 1: is_held_out was"),
        ("UPDATE activity SET error = 'none' WHERE outcome = 'done'", "activity 2: error was"),
        ("UPDATE activity SET started_at = now() WHERE id = 1", "activity 1: started_at was"),
        ("UPDATE campaign SET ended_at = now(), end_reason = 'stalled', budget_calls = 1", "budget_calls was"),
        ("DELETE FROM label WHERE id = 3", "label 3: .*`agd label retract 3`"),
        ("TRUNCATE label CASCADE", r"\(every row\)"),
    ],
)
def test_the_refusal_names_what_and_the_cure(tx: Transaction, statement: str, match: str) -> None:
    refused(tx, statement, match)


def test_no_setting_makes_values_look_alike(tx: Transaction) -> None:
    tx.execute(text("SET LOCAL extra_float_digits = -15"))
    refused(tx, "UPDATE label SET value = value + 1e-9 WHERE id = 1", "value was")


def test_what_is_filled_in_later(tx: Transaction) -> None:
    for statement in (
        "UPDATE suggestion SET outcome = 'rejected', reason = 'x', composition_id = 1, decode_activity_id = 1"
        " WHERE id = 4",
        "UPDATE suggestion SET outcome = outcome, rank = rank",  # nothing changes
        "UPDATE activity SET lease_expires_at = now() + interval '1 h', host = 'other', pid = 7 WHERE id = 3",
        "UPDATE activity SET outcome = 'failed', error = 'x', error_class = 'transient', ended_at = now() WHERE id = 3",
        "UPDATE campaign SET stop_requested_at = now(), engine = 'fireworks', parked_reason = 'x'",
        "UPDATE campaign SET retries_from = now() + interval '1 h'",
        "UPDATE campaign SET stop_requested_at = NULL, engine = 'local', parked_reason = NULL",
        "UPDATE campaign SET ended_at = now(), end_reason = 'stalled'",
        "UPDATE job SET state = 'parked', reason = 'x', not_before = now(), retries_from = now(), priority = 2",
        "UPDATE job SET n_cores = 4, hours = 1, programs = '{}' WHERE id = 1",
        "UPDATE job SET state = 'done', reason = NULL WHERE id = 1",
    ):
        tx.execute(text(statement))
    refused(tx, "UPDATE activity SET outcome = 'running', ended_at = NULL WHERE id = 3", "outcome was|ended_at was")
    refused(tx, "UPDATE campaign SET ended_at = NULL, end_reason = NULL", "ended_at was")
    refused(tx, "UPDATE suggestion SET composition_id = 2 WHERE id = 4", "composition_id was")
    refused(tx, "UPDATE job SET state = 'open' WHERE id = 1", "job 1: state was")
    refused(tx, "UPDATE job SET priority = 3 WHERE id = 1", "job 1: priority was")


ANOTHER = "INSERT INTO campaign_amendment SELECT 1, 2, 'budget.oracle_calls', {}, 30, 5, {}, 1 FROM campaign k"
AS_IT_ENDED = "k.ended_at, k.end_reason"


def test_an_end_is_undone_by_the_amendment_that_keeps_it(tx: Transaction) -> None:
    tx.execute(text("UPDATE campaign SET ended_at = now(), end_reason = 'budget spent'"))
    undone = "UPDATE campaign SET ended_at = NULL, end_reason = NULL"
    refused(tx, undone, "campaign 1: ended_at was recorded")
    refused(tx, ANOTHER.format(20, "NULL, NULL"), "campaign 1: an amendment .* holds the end that it undoes")
    refused(tx, ANOTHER.format(20, "k.ended_at, 'stalled'"), "holds the end that it undoes")
    tx.execute(text(ANOTHER.format(20, AS_IT_ENDED)))
    refused(tx, "UPDATE campaign SET end_reason = 'stalled'", "end_reason was recorded")
    refused(tx, "UPDATE campaign SET ended_at = ended_at + interval '1 s'", "ended_at was recorded")
    refused(tx, f"{undone}, budget_calls = 30", "budget_calls was recorded")
    tx.execute(text(undone))
    tx.execute(text("UPDATE campaign SET ended_at = now() + interval '1 h', end_reason = 'stalled'"))
    refused(tx, undone, "ended_at was recorded")


def test_an_amendment_goes_on_from_what_holds(tx: Transaction) -> None:
    refused(tx, ANOTHER.format(10, AS_IT_ENDED), "goes on from what holds")
    refused(tx, ANOTHER.format(20, AS_IT_ENDED).replace(" 2, ", " 3, "), "goes on from what holds")
    refused(tx, ANOTHER.format(20, AS_IT_ENDED).replace("30", "20"), "budget_grows")
    refused(tx, ANOTHER.format(20, AS_IT_ENDED).replace("budget.oracle_calls", "initial.n"), "key_may_change")
    tx.execute(text(ANOTHER.format(20, AS_IT_ENDED)))
    budget = tx.execute(text("SELECT calls, calls_at_first, n_amendments FROM v_campaign_budget")).one()
    assert tuple(budget) == (30, 10, 2)
    row = tx.execute(text("SELECT budget_calls, budget_calls_at_first FROM v_campaign_progress")).one()
    assert tuple(row) == (30, 10)
    (found,) = campaigns.open_on(tx, "local")
    assert (found.budget_calls, found.oracle_calls) == (10, 30)


@pytest.mark.parametrize("function", ["agd_content_hash_v2", "agd_content_hash_v3", "agd_content_hash_v3_with_later"])
def test_an_amendment_is_part_of_every_hash_once_a_step_has_followed(tx: Transaction, function: str) -> None:
    before = inventory.content_hashes(tx, function)
    tx.execute(text(ANOTHER.format(20, AS_IT_ENDED)))  # the fifth step is the last that was done
    is_later = function == "agd_content_hash_v3"
    assert (inventory.content_hashes(tx, function) == before) is is_later
    tx.execute(text("INSERT INTO iteration (campaign_id, number) VALUES (1, 2)"))
    extended = inventory.content_hashes(tx, function)
    tx.execute(
        text(
            "INSERT INTO activity (kind, campaign_id, iteration_id, agd_version, host, cpu, threads, pid, outcome,"
            " ended_at) VALUES ('suggest', 1, 2, '0', 'h', 'c', 1, 1, 'done', now())"
        )
    )
    assert (inventory.content_hashes(tx, function) == extended) is (function == "agd_content_hash_v2")


def state(tx: Transaction, suggestion_id: int) -> tuple[object, ...]:
    columns = "outcome, reason, label_id"
    row = tx.execute(text(f"SELECT {columns} FROM v_suggestion_state WHERE suggestion_id = {suggestion_id}")).one()
    assert row == tx.execute(text(f"SELECT {columns} FROM v_suggestion WHERE suggestion_id = {suggestion_id}")).one()
    return tuple(row)


def test_what_came_after_a_suggestion(tx: Transaction) -> None:
    assert [state(tx, i) for i in (1, 2, 3, 4, 5)] == [
        ("new", None, 2),
        ("new", None, None),
        ("undecodable", None, None),
        (None, None, None),
        ("unanswered", "it decomposes", None),
    ]
    row = tx.execute(text("SELECT * FROM v_iteration")).mappings().one()
    assert (row["n_new"], row["n_charged"], row["n_finds"], row["n_rejected"], row["highest"]) == (1, 1, 1, 1, 6.5)
    trained = tx.execute(text("SELECT label_id, campaign, iteration FROM v_training_label WHERE kind = 'oracle'")).one()
    assert tuple(trained) == (1, "c", 1)  # what the model learned from, although another label holds now


def test_giving_up(tx: Transaction) -> None:
    assert suggestions.give_up(tx, 1, 2, "no crucible") is True
    assert suggestions.give_up(tx, 1, 2, "again") is False
    assert suggestions.give_up(tx, 1, 1, "it has its label") is False
    assert state(tx, 2) == ("unanswered", "no crucible", None)
    assert suggestions.has_asked(tx, 1, "KCl")
    assert [row.id for row in suggestions.waiting(tx, 1)] == []
    refused(tx, "INSERT INTO given_up VALUES (1, 'x', 1)", "suggestion 1: only what waits")
    refused(tx, "INSERT INTO given_up VALUES (3, 'x', 1)", "suggestion 3: only what waits")
    refused(tx, "INSERT INTO given_up VALUES (2, '', 1)", "pk_given_up|reason_is_given")
    label = (
        "INSERT INTO label (composition_id, property, value, dataset_id, activity_id) VALUES (2, 'band_gap', 5, 1, 1)"
    )
    tx.execute(text(label))
    late = "UPDATE suggestion SET label_id = (SELECT max(id) FROM label), label_activity_id = 1 WHERE id = 2"
    refused(tx, late, "suggestion 2: only what waits for an answer is given up, and then it gets none")


def test_a_label_told_anew_and_anew(tx: Transaction) -> None:
    assert suggestions.to_replace(tx, 1, 3) == []  # the one that holds was not retracted
    tx.execute(text("INSERT INTO retraction VALUES (2, 'wrong sample, too', 1)"))
    assert suggestions.to_replace(tx, 1, 1) == []  # retracted itself
    assert suggestions.to_replace(tx, 1, 3) == [1]
    suggestions.replace_labels(tx, 1, [1], 3)
    assert state(tx, 1) == ("new", None, 3)
    assert suggestions.to_replace(tx, 1, 3) == []
    assert suggestions.decoded_before(tx, 1, 2) == {1: 3, 2: None, 3: None}
    refused(tx, "INSERT INTO label_replacement VALUES (1, 4, 3, 1, 1)", "uq_label_replacement")
    refused(tx, "INSERT INTO label_replacement VALUES (2, 1, 3, 2, 1)", "fk_label_replacement_label_id")
    refused(tx, "INSERT INTO label_replacement VALUES (2, 1, 3, 1, 1)", "fk_label_replacement_suggestion_id")


@pytest.mark.parametrize("function", ["agd_content_hash_v1", "agd_content_hash_v2"])
def test_rows_hash_as_changed_values_did(tx: Transaction, function: str) -> None:
    """What 0005 held by changing values and 0006 holds by rows is the same to the hash functions of before."""
    open_removal(tx, "as it was held before")
    for table in ("campaign_amendment", *LATER_TABLES):
        tx.execute(text(f"DELETE FROM {table}"))  # which 0005 does not know
    now = inventory.content_hashes(tx, function)
    tx.execute(text("UPDATE suggestion SET label_id = 2 WHERE id = 1"))
    tx.execute(text("UPDATE suggestion SET outcome = 'unanswered', reason = 'it decomposes' WHERE id = 5"))
    further = ("suggestion_expectation", "suggestion_label", "campaign_target")
    for table in ("given_up", "label_replacement", "suggestion_parent", "campaign_known", "rejection_sample", *further):
        tx.execute(text(f"DELETE FROM {table}"))
    assert inventory.content_hashes(tx, function) == now
    iterations = progress.iterations(tx, 1)
    tx.execute(text("TRUNCATE removal CASCADE"))
    schema.downgrade(tx, "0005")
    assert inventory.content_hashes(tx, function) == now
    assert progress.iterations(tx, 1) == [tuple(row)[:16] for row in iterations]  # more is counted since 0011


def test_the_door_opens_for_one_transaction(database: Database, tx: Transaction) -> None:
    with tx.begin_nested():
        opened = open_removal(tx, "a label of a sample that never was")
        tx.execute(text("DELETE FROM retraction"))
    tx.execute(text("UPDATE dataset SET name = 'other'"))
    assert tx.execute(text("SELECT id, reason FROM removal ORDER BY id DESC LIMIT 1")).one() == (
        opened,
        "a label of a sample that never was",
    )
    tx.execute(text("SET LOCAL agd.removal = '1'"))  # a row of this transaction, too
    tx.execute(text("DELETE FROM screening_hit"))
    tx.commit()
    for setting in (str(opened), "1", "", "99"):
        with database.transaction() as later:
            later.execute(text(f"SET LOCAL agd.removal = '{setting}'"))
            refused(later, "DELETE FROM stage", "is not removed")
    with database.transaction() as later:
        later.execute(text("INSERT INTO removal (reason) VALUES ('a row alone')"))
        refused(later, "DELETE FROM stage", "is not removed")
        refused(later, "SELECT agd_open_removal('')", "reason_is_given")


def test_the_door_knows_its_own_table_whatever_the_search_path(tx: Transaction) -> None:
    tx.execute(text("CREATE TEMP TABLE removal AS SELECT 1 AS id, pg_current_xact_id()::text AS transaction"))
    tx.execute(text("SET LOCAL agd.removal = '9'"))
    refused(tx, "DELETE FROM stage", "is not removed")


def test_bulk_rows_meet_no_trigger(tx: Transaction) -> None:
    """What is inserted in bulk costs nothing: triggers stand on UPDATE, DELETE and TRUNCATE alone."""
    on_insert = "SELECT tgrelid::regclass::text FROM pg_trigger WHERE NOT tgisinternal AND tgtype & 4 <> 0"
    assert set(tx.scalars(text(on_insert))) == {"campaign_amendment", "given_up"}


def test_going_back_never_forgets_what_came_after(database: Database, tx: Transaction) -> None:
    tx.commit()
    for table, what in (
        *LATER_TABLES.items(),
        ("campaign_target", "further targets of campaigns"),
        ("suggestion_expectation", "what samplers expected"),
        ("rejection_sample", "samples of what was refused"),
        ("campaign_amendment", "amendments of campaigns"),
        ("suggestion_parent", "parents of suggestions"),
        ("campaign_known", "what campaigns take for known"),
        (None, "answers that were given up"),
    ):
        with pytest.raises(RuntimeError, match=f"no place for {what}"), database.transaction() as later:
            schema.downgrade(later, "0005")
        if table is not None:
            with database.transaction() as later:
                open_removal(later, "as it was held before")
                later.execute(text(f"DELETE FROM {table}"))


def test_the_steps_write_as_before(tx: Transaction) -> None:
    job_id = jobs.ensure(tx, jobs.of_step(1, "c", "label", 1))
    taken = jobs.take(tx, job_id, campaign_id=1, iteration_id=1, lease_s=60.0, threads=1)
    assert taken is not None
    assert activities.renew(tx, taken, 60.0)
    outcome = {"id": 4, "outcome": "undecodable", "reason": None, "composition_id": None}
    suggestions.store_outcomes(tx, taken, [outcome], [(4, "no counts")])
    activities.computed_by(tx, taken, {"pid": 4, "host": "node", "cpu": "x", "git_commit": None, "agd_version": "1"})
    activities.finish(tx, taken)
    with pytest.raises(DBAPIError, match="stays as it is"), tx.begin_nested():
        activities.computed_by(tx, taken, {"pid": 5})
