"""The laws of screenings and of training sets drawn from campaigns."""

from collections.abc import Iterator

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from agd.db.connection import Database, Transaction
from agd.db.reading import lineage
from agd.db.record import models, screenings, stages
from agd.db.record.models import FromCampaign, FromDataset, Member, Part
from agd.db.removals import open_removal
from agd.db.upkeep import checks

SETUP = """
INSERT INTO activity (kind, agd_version, host, cpu, threads, pid) VALUES ('test', '0', 'h', 'c', 1, 1);
INSERT INTO dataset (name, source, source_sha256, recipe_sha256, property, options, n_read, n_rejected, activity_id)
    VALUES ('d', 'd.csv', 's', 'r', 'band_gap', '{}', 1, 0, 1);
INSERT INTO composition (reduced_formula, chemical_system, anonymous_formula, n_elements, n_atoms, activity_id)
    VALUES ('NaCl', 'Cl-Na', 'AB', 2, 2, 1), ('KCl', 'Cl-K', 'AB', 2, 2, 1), ('KF', 'F-K', 'AB', 2, 2, 1);
INSERT INTO label (composition_id, property, value, dataset_id, activity_id)
    VALUES (1, 'band_gap', 5.0, 1, 1), (2, 'band_gap', 5.5, 1, 1), (3, 'band_gap', 6.5, 1, 1);
INSERT INTO artifact (sha256, format, n_bytes, activity_id) VALUES ('a', 'npz', 1, 1);
INSERT INTO campaign (name, spec_sha256, spec, spec_text, seed, property, target_low, budget_calls, agd_version)
    VALUES ('one', 's1', '{}', '', 0, 'band_gap', 6, 10, '0'), ('two', 's2', '{}', '', 0, 'band_gap', 6, 10, '0');
INSERT INTO iteration (campaign_id, number) VALUES (1, 4), (2, 9);
INSERT INTO training_set (sha256, n_members, activity_id) VALUES ('t', 1, 1);
INSERT INTO model_version (kind, plugin, property, architecture_version, options, seed, training_set_id,
    recipe_sha256, tensors_sha256, metrics, activity_id)
    VALUES ('autoencoder', 'set', NULL, 1, '{}', 0, 1, 'e', 'a', '{}', 1);
INSERT INTO latent (model_version_id, vector, activity_id) VALUES (1, '{0,1}', 1);
INSERT INTO suggestion (campaign_id, iteration_id, rank, proposed, latent_id, activity_id, outcome, composition_id,
    decode_activity_id, label_id, label_activity_id)
    VALUES (1, 1, 1, 'latent', 1, 1, 'new', 3, 1, 3, 1), (2, 2, 1, 'latent', 1, 1, 'new', 3, 1, 3, 1)
"""

PARTS = [
    Part(FromDataset(1, "r"), [Member(1, "NaCl", 1, 5.0, is_held_out=False)]),
    Part(FromCampaign(2, "s2", 9), [Member(3, "KF", 3, 6.5, is_held_out=True, label_key="dataset r")]),
]

SCREENING = {
    "campaign_id": 2,
    "role": "al",
    "source": "p.csv",
    "source_sha256": "p",
    "criteria": {},
    "recipe_sha256": "g",
    "activity_id": 1,
}

_HIT = "INSERT INTO screening_hit VALUES ({})"

BREACHES = {
    "a screening of no known role": ("UPDATE screening SET role = 'best'", "role_is_known"),
    "a campaign's screener without its campaign": ("UPDATE screening SET campaign_id = NULL", "screener_has_campaign"),
    "a screening without a screener": ("UPDATE screening SET model_version_id = NULL", "model_version_id"),
    "a screening of one recipe twice": (
        "INSERT INTO screening (campaign_id, role, model_version_id, source, source_sha256, criteria, recipe_sha256,"
        " activity_id) VALUES (1, 'al', 2, 'p', 'p', '{}', 'g', 1)",
        "uq_screening_recipe_sha256",
    ),
    "less than nothing left": ("INSERT INTO stage VALUES (1, 'al', 3, 'valid', 0, -1)", "n_left_is_a_count"),
    "a stage twice": ("INSERT INTO stage VALUES (1, 'al', 1, 'read', 2, 2)", "pk_stage"),
    "a rank twice": (_HIT.format("1, 1, 2, 3, 'ClK', 5, 0.1"), "pk_screening_hit"),
    "a hit of rank nought": (_HIT.format("1, 0, 2, 3, 'ClK', 5, 0.1"), "rank_is_positive"),
    "a hit that is not a number": (_HIT.format("1, 2, 2, 3, 'ClK', 'NaN', 0.1"), "value_is_finite"),
    "a hit without a composition": (_HIT.format("1, 2, 99, 3, 'ClK', 5, 0.1"), "fk_screening_hit_composition_id"),
    "a screener as a campaign's model": (
        "INSERT INTO campaign_model VALUES (1, 'screener', 2, 1)",
        "role_is_known",
    ),
    "labels of one campaign drawn twice": (
        "INSERT INTO training_set_campaign SELECT training_set_id, 2, 3, 1 FROM training_set_campaign",
        "pk_training_set_campaign",
    ),
}


@pytest.fixture
def tx(database: Database) -> Iterator[Transaction]:
    """A screener of campaign two's labels that picked one composition."""
    with database.transaction() as opened:
        for statement in SETUP.split(";\n"):
            opened.execute(text(statement))
        set_id = models.store_parts(opened, PARTS, 1)
        values = {"kind": "screener", "plugin": "random_forest", "property": "band_gap", "architecture_version": 1}
        values |= {"options": {}, "seed": 0, "training_set_id": set_id, "recipe_sha256": "m", "metrics": {}}
        version = models.store_model(opened, values, tensors_sha256="a", n_bytes=1, activity_id=1)
        made = screenings.store(opened, {**SCREENING, "model_version_id": version})
        assert made is not None
        stages.store(opened, 1, [("read", 2), ("predicted in target", 1)], "al")
        screenings.store_hits(opened, made, [(1, 7, "Cl1Na1", 6.2, 0.3)])
        open_removal(opened, "breaches of other laws")
        yield opened


@pytest.mark.parametrize("breach", BREACHES)
def test_a_breach_is_refused(tx: Transaction, breach: str) -> None:
    statement, constraint = BREACHES[breach]
    with pytest.raises(IntegrityError, match=constraint), tx.begin_nested():
        tx.execute(text(statement))


def test_a_set_is_stored_once(tx: Transaction) -> None:
    assert models.store_parts(tx, PARTS, 1) == models.store_parts(tx, PARTS, 1)
    assert screenings.store(tx, {**SCREENING, "model_version_id": 2}) is None
    drawn = tx.execute(text("SELECT campaign_id, last_iteration, n_members FROM training_set_campaign")).all()
    assert [tuple(row) for row in drawn] == [(2, 9, 1)]


def test_a_label_that_two_campaigns_share_is_of_the_one_it_was_drawn_from(tx: Transaction) -> None:
    trained = tx.execute(text("SELECT reduced_formula, campaign, iteration FROM v_training_label ORDER BY 1")).all()
    assert [tuple(row) for row in trained] == [("KF", "two", 9), ("NaCl", None, None)]
    assert [tuple(row) for row in lineage.trained_on(tx, 2)] == [(None, 1, 0), (9, 1, 0)]
    tx.execute(text("INSERT INTO retraction VALUES (3, 'wrong sample', 1)"))
    assert [tuple(row) for row in lineage.trained_on(tx, 2)] == [(None, 1, 0), (9, 1, 1)]
    assert models.learned_labels(tx, 2, 9) == []


def test_what_a_campaign_learned_stops_at_an_iteration(tx: Transaction) -> None:
    assert [row.reduced_formula for row in models.learned_labels(tx, 2, 9)] == ["KF"]
    assert models.learned_labels(tx, 2, 8) == []
    assert models.last_recorded(tx, 2) == 0


def test_the_members_of_another_campaign_make_another_set() -> None:
    other = [PARTS[0], Part(FromCampaign(1, "s1", 9), PARTS[1].members)]
    later = [PARTS[0], Part(FromCampaign(2, "s2", 10), PARTS[1].members)]
    assert len({models.set_sha256(parts) for parts in (PARTS, other, later)}) == 3


def test_hits_that_were_changed_are_counted(tx: Transaction) -> None:
    [law] = [law for law in checks.CONTRADICTIONS if law.subject == "screening"]
    tx.execute(text("UPDATE stage SET n_left = 2 WHERE position = 2"))
    tx.execute(text(_HIT.format("1, 2, 2, 3, 'ClK', 6.1, 0.1")))
    assert checks.n_against(tx, law) == 0
    for statement in (
        "UPDATE screening_hit SET value = 6.3 WHERE rank = 2",
        """UPDATE screening SET criteria = '{"low": 6.15, "high": null}'""",
        "UPDATE screening_hit SET rank = 3 WHERE rank = 2",
        "DELETE FROM screening_hit WHERE rank = 1",
    ):
        attempt = tx.begin_nested()
        tx.execute(text(statement))
        assert checks.n_against(tx, law) == 1
        attempt.rollback()


def test_retractions_that_were_forged_or_removed_are_counted(tx: Transaction) -> None:
    laws = [law for law in checks.CONTRADICTIONS if law.subject == "activity"]
    forged, removed = laws
    before = checks.n_against(tx, forged)
    made = (
        "INSERT INTO activity (kind, agd_version, host, cpu, threads, pid, outcome, ended_at) VALUES ('retract', '0',"
    )
    activity = tx.scalar(text(f"{made} 'h', 'c', 1, 1, 'done', now()) RETURNING id"))
    assert checks.n_against(tx, removed) == 1
    tx.execute(text("INSERT INTO retraction VALUES (3, 'wrong sample', :id)"), {"id": activity})
    assert (checks.n_against(tx, removed), checks.n_against(tx, forged)) == (0, before)
    tx.execute(text("INSERT INTO retraction VALUES (1, 'wrong sample', :id)"), {"id": activity})
    assert checks.n_against(tx, removed) == 1
