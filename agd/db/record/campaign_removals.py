"""Removing a campaign: what would go, what forbids it, and the removal, in the order that foreign keys ask for.

Its suggestions, latent points, screenings, iterations, steps and activities go. Compositions, labels, models, training
sets and data sets belong to everyone; the activities that made those stay, as of no campaign.
"""

from collections.abc import Callable, Sequence

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from agd.db.connection import AnyRow, Transaction
from agd.errors import InputError

_COUNTS = text("""
SELECT (SELECT count(*) FROM suggestion WHERE campaign_id = :campaign) AS n_suggestions,
       (SELECT count(*) FROM suggestion WHERE campaign_id = :campaign AND label_id IS NOT NULL) AS n_labelled,
       (SELECT count(*) FROM iteration WHERE campaign_id = :campaign) AS n_iterations,
       (SELECT count(*) FROM activity WHERE campaign_id = :campaign) AS n_activities,
       (SELECT count(*) FROM screening WHERE campaign_id = :campaign) AS n_screenings,
       (SELECT count(*) FROM campaign_model WHERE campaign_id = :campaign) AS n_models
""")

_CONTROLS = text("SELECT name FROM campaign WHERE twin_of_id = :campaign ORDER BY name")

_LEARNED_FROM_IT = text("""
SELECT DISTINCT k.name FROM training_set_campaign t JOIN model_version m USING (training_set_id)
JOIN (SELECT campaign_id, model_version_id FROM screening
      UNION SELECT campaign_id, model_version_id FROM campaign_model) used ON used.model_version_id = m.id
JOIN campaign k ON k.id = used.campaign_id
WHERE t.campaign_id = :campaign AND k.id <> :campaign ORDER BY k.name
""")

_JOBS_BEHIND = text("""
SELECT DISTINCT b.id FROM job j JOIN job_after w ON w.waits_for_id = j.id JOIN job b ON b.id = w.job_id
WHERE j.campaign_id = :campaign AND b.campaign_id IS DISTINCT FROM :campaign AND b.state <> 'done' ORDER BY b.id
""")

_OF_SUGGESTIONS = (
    *("suggestion_parent", "suggestion_label", "suggestion_expectation", "decode_failure", "given_up"),
    "label_replacement",
)
_OF_CAMPAIGN = (
    *("campaign_target", "campaign_pool", "campaign_known", "campaign_set", "campaign_model", "campaign_amendment"),
    *("campaign_hash", "campaign_event", "training_set_campaign"),
)
_OF_ACTIVITIES = ("stage", "rejection_sample")

_FREE_CALCULATIONS = (
    (
        "UPDATE calculation c SET screening_id = NULL FROM screening g"
        " WHERE g.id = c.screening_id AND g.campaign_id = :campaign"
    ),
    "UPDATE calculation SET campaign_id = NULL WHERE campaign_id = :campaign",
)
"""What was computed stays, and was paid by nobody that is left."""

# Its steps and screenings are its own; what others did for it, as training a screener, goes where it left nothing.
_DOOM = (
    (
        "CREATE TEMPORARY TABLE own_activity ON COMMIT DROP AS SELECT id FROM activity WHERE campaign_id = :campaign"
        " UNION SELECT activity_id FROM screening WHERE campaign_id = :campaign"
    ),
    (
        "CREATE TEMPORARY TABLE doomed_activity ON COMMIT DROP AS SELECT id FROM own_activity"
        " UNION SELECT a.id FROM activity a JOIN job j ON j.id = a.job_id WHERE j.campaign_id = :campaign"
    ),
)

_REFERRING = text("""
SELECT c.conrelid::regclass::text AS from_table, a.attname AS from_column
FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
WHERE c.contype = 'f' AND c.confrelid = CAST(:to AS regclass)
ORDER BY 1, 2
""")

# Without an index each row that goes would have a whole table looked through for references to it.
_UNINDEXED = text("""
SELECT c.conrelid::regclass::text AS from_table, a.attname AS from_column
FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
JOIN pg_class r ON r.oid = c.conrelid
WHERE c.contype = 'f' AND c.confrelid = ANY (ARRAY['activity', 'latent', 'job', 'iteration', 'screening']::regclass[])
  AND r.relpages > 50
  AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.conrelid AND i.indkey[0] = a.attnum AND i.indpred IS NULL)
GROUP BY 1, 2 ORDER BY 1, 2
""")

_KEEP = text("""
INSERT INTO campaign_removal (removal_id, name, operator, created_at, spec_text, search_sha256, n_suggestions,
                              n_latents, n_activities, n_screenings, activity_id)
SELECT :removal, k.name, :operator, k.created_at, k.spec_text,
       (SELECT h.sha256 FROM campaign_hash h WHERE h.campaign_id = k.id ORDER BY h.n_steps DESC LIMIT 1),
       :n_suggestions, 0, 0, :n_screenings, :activity
FROM campaign k WHERE k.id = :campaign
""")

_CHUNK: int = 20_000
"""Suggestions that go between two words of progress, about."""


def counts(tx: Transaction, campaign_id: int) -> AnyRow:
    """How much would go (n_suggestions, n_iterations, n_activities, n_screenings), and stay (n_labelled, n_models)."""
    return tx.execute(_COUNTS, {"campaign": campaign_id}).one()


def controls(tx: Transaction, campaign_id: int) -> Sequence[str]:
    """The campaigns that are controls of it."""
    return tx.execute(_CONTROLS, {"campaign": campaign_id}).scalars().all()


def learners(tx: Transaction, campaign_id: int) -> Sequence[str]:
    """Other campaigns that use a model which learned from its labels as this campaign's."""
    return tx.execute(_LEARNED_FROM_IT, {"campaign": campaign_id}).scalars().all()


def jobs_behind(tx: Transaction, campaign_id: int) -> Sequence[int]:
    """Jobs of others that wait for one of it."""
    return tx.execute(_JOBS_BEHIND, {"campaign": campaign_id}).scalars().all()


def keep(tx: Transaction, campaign_id: int, removal_id: int, operator: str, found: AnyRow, activity_id: int) -> None:
    """Say by a row what is about to go."""
    values = {"n_suggestions": found.n_suggestions, "n_screenings": found.n_screenings, "activity": activity_id}
    tx.execute(_KEEP, {"campaign": campaign_id, "removal": removal_id, "operator": operator, **values})


def remove(tx: Transaction, campaign_id: int, removal_id: int, report: Callable[[int, str], None]) -> None:
    """Remove a campaign that nothing rests on; the transaction has opened the removal door.

    Large tables get an index for as long as this takes, so that others may read them and not write.

    Raises:
        InputError: another row refers to it.
    """
    one = {"campaign": campaign_id}
    made = _add_indexes(tx)
    tx.execute(text("CREATE TEMPORARY TABLE doomed_latent (id bigint PRIMARY KEY) ON COMMIT DROP"))
    n_latents = _remove_suggestions(tx, campaign_id, report)
    report(0, "screenings and steps")
    for statement in _DOOM:
        tx.execute(text(statement), one)
    tx.execute(
        text("DELETE FROM screening_hit h USING screening g WHERE g.id = h.screening_id AND g.campaign_id = :campaign"),
        one,
    )
    for statement in _FREE_CALCULATIONS:
        tx.execute(text(statement), one)
    tx.execute(text("DELETE FROM screening WHERE campaign_id = :campaign"), one)
    tx.execute(
        text(
            "DELETE FROM iteration_tally t USING iteration i WHERE i.id = t.iteration_id AND i.campaign_id = :campaign"
        ),
        one,
    )
    for table in _OF_CAMPAIGN:
        tx.execute(text(f"DELETE FROM {table} WHERE campaign_id = :campaign"), one)
    n_activities = _remove_activities(tx, campaign_id)
    tx.execute(text("DELETE FROM iteration WHERE campaign_id = :campaign"), one)
    try:
        tx.execute(text("DELETE FROM campaign WHERE id = :campaign"), one)
    except IntegrityError as error:
        raise InputError(f"the campaign was not deleted, for something rests on it: {error.orig}") from error
    for name in made:
        tx.execute(text(f"DROP INDEX {name}"))
    tx.execute(
        text(
            "UPDATE campaign_removal SET n_latents = :latents, n_activities = :activities WHERE removal_id = :removal"
        ),
        {"latents": n_latents, "activities": n_activities, "removal": removal_id},
    )


def _add_indexes(tx: Transaction) -> list[str]:
    made = []
    for number, row in enumerate(tx.execute(_UNINDEXED).all()):
        name = f"ix_for_a_removal_{number}"
        tx.execute(text(f"CREATE INDEX {name} ON {row.from_table} ({row.from_column})"))
        made.append(name)
    return made


def _remove_suggestions(tx: Transaction, campaign_id: int, report: Callable[[int, str], None]) -> int:
    """The number of latent points that went with them."""
    edges = tx.execute(
        text(
            "SELECT min(id) AS first, max(id) AS last FROM"
            " (SELECT id, (row_number() OVER (ORDER BY id) - 1) / :n AS part FROM suggestion"
            "  WHERE campaign_id = :campaign) s"
            " GROUP BY part ORDER BY part"
        ),
        {"campaign": campaign_id, "n": _CHUNK},
    ).all()
    for done, edge in enumerate(edges):
        report(done * _CHUNK, "suggestions")
        part = {"campaign": campaign_id, "first": edge.first, "last": edge.last}
        of_part = "id BETWEEN :first AND :last AND campaign_id = :campaign"
        tx.execute(
            text(
                f"INSERT INTO doomed_latent SELECT DISTINCT latent_id FROM suggestion WHERE {of_part}"
                " AND latent_id IS NOT NULL AND proposed = 'latent' ON CONFLICT DO NOTHING"
            ),
            part,
        )
        for table in _OF_SUGGESTIONS:
            tx.execute(
                text(
                    f"DELETE FROM {table} WHERE suggestion_id BETWEEN :first AND :last"
                    f" AND suggestion_id IN (SELECT id FROM suggestion WHERE {of_part})"
                ),
                part,
            )
        tx.execute(text(f"DELETE FROM suggestion WHERE {of_part}"), part)
    report(0, "latent points")
    gone = tx.execute(
        text(
            "DELETE FROM latent z USING doomed_latent d WHERE z.id = d.id AND z.composition_id IS NULL"
            " AND NOT EXISTS (SELECT FROM suggestion s WHERE s.latent_id = z.id)"
        )
    )
    return gone.rowcount


def _remove_activities(tx: Transaction, campaign_id: int) -> int:
    """Attempts and jobs that made nothing which stays go; the others are of no campaign any more. How many went."""
    one = {"campaign": campaign_id}
    _spare_referred(tx, "activity", "doomed_activity", but=_OF_ACTIVITIES)
    for table in _OF_ACTIVITIES:
        for doomed in ("own_activity", "doomed_activity"):
            tx.execute(text(f"DELETE FROM {table} WHERE activity_id IN (SELECT id FROM {doomed})"))
    gone = tx.execute(text("DELETE FROM activity a USING doomed_activity d WHERE a.id = d.id")).rowcount
    tx.execute(text("UPDATE activity SET campaign_id = NULL, iteration_id = NULL WHERE campaign_id = :campaign"), one)
    tx.execute(
        text("CREATE TEMPORARY TABLE doomed_job ON COMMIT DROP AS SELECT id FROM job WHERE campaign_id = :campaign"),
        one,
    )
    _spare_referred(tx, "job", "doomed_job", but=("job_after",))
    for column in ("job_id", "waits_for_id"):
        tx.execute(text(f"DELETE FROM job_after WHERE {column} IN (SELECT id FROM doomed_job)"))
    tx.execute(text("DELETE FROM job j USING doomed_job d WHERE j.id = d.id"))
    tx.execute(
        text(
            "UPDATE job j SET campaign_id = NULL, iteration = NULL, key_sha256 = CASE"
            " WHEN j.key_sha256 = agd_step_key(k.name, j.kind, j.iteration)"
            " THEN encode(sha256(convert_to('deleted ' || j.id, 'UTF8')), 'hex') ELSE j.key_sha256 END"
            " FROM campaign k WHERE k.id = :campaign AND j.campaign_id = k.id"
        ),
        one,
    )
    return gone


def _spare_referred(tx: Transaction, table: str, doomed: str, but: Sequence[str] = ()) -> None:
    """Leave in `doomed` only the rows of a table that no other row refers to."""
    for row in tx.execute(_REFERRING, {"to": table}).all():
        if row.from_table not in but:
            tx.execute(
                text(
                    f"DELETE FROM {doomed} WHERE id IN (SELECT {row.from_column} FROM {row.from_table}"
                    f" WHERE {row.from_column} IS NOT NULL)"
                )
            )
