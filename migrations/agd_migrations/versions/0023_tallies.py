"""What became of an iteration is counted once, when it is recorded, and views reach what they are asked for by index.

Revision ID: 0023
Revises: 0022
"""

from importlib import import_module

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

_DEFENCE = import_module("agd_migrations.versions.0006_defence")
_FORMULAS = import_module("agd_migrations.versions.0011_formulas")
_AMENDMENTS = import_module("agd_migrations.versions.0012_amendments")
_PROPERTIES = import_module("agd_migrations.versions.0014_properties")

V_SUGGESTION_STATE = """
CREATE OR REPLACE VIEW v_suggestion_state AS
SELECT s.id AS suggestion_id, s.campaign_id, s.iteration_id, s.rank, s.proposed, s.latent_id,
       s.posterior_mean, s.posterior_sd, s.acquisition, s.activity_id,
       CASE WHEN g.suggestion_id IS NULL THEN s.outcome ELSE 'unanswered' END AS outcome,
       coalesce(g.reason, s.reason) AS reason,
       s.composition_id, s.decode_activity_id,
       coalesce(r.label_id, s.label_id) AS label_id,
       coalesce(r.activity_id, s.label_activity_id) AS label_activity_id
FROM suggestion s
LEFT JOIN given_up g ON g.suggestion_id = s.id
LEFT JOIN label_replacement r ON r.suggestion_id = s.id
     AND NOT EXISTS (SELECT FROM label_replacement n WHERE n.suggestion_id = r.suggestion_id AND n.number > r.number)
"""

V_SUGGESTION = """
CREATE OR REPLACE VIEW v_suggestion AS
SELECT k.name AS campaign, i.number AS iteration, s.rank, s.outcome, s.reason, f.reason AS decode_failure,
       c.reduced_formula, s.value, s.uncertainty, p.unit, s.is_find, s.is_retracted, s.is_charged,
       s.proposed, s.posterior_mean, s.posterior_sd, s.acquisition,
       a.seed, a.started_at AS suggested_at, a.agd_version, a.host,
       m.tensors_sha256 AS autoencoder_sha256,
       s.suggestion_id, s.campaign_id, s.iteration_id, s.latent_id, s.composition_id, s.label_id, s.activity_id,
       s.is_result, s.is_awaited, s.is_known,
       coalesce(q.mean, CASE WHEN num_nonnulls(k.target_low, k.target_high) = 1
                             THEN CASE WHEN k.target_low IS NULL THEN -s.posterior_mean ELSE s.posterior_mean END END)
           AS expected,
       coalesce(q.sd, CASE WHEN num_nonnulls(k.target_low, k.target_high) = 1 AND s.posterior_mean IS NOT NULL
                           THEN s.posterior_sd END) AS expected_sd, s.is_feasible
FROM v_suggestion_judged s
LEFT JOIN campaign k ON k.id = s.campaign_id
LEFT JOIN property p ON p.name = k.property
LEFT JOIN iteration i ON i.id = s.iteration_id
LEFT JOIN activity a ON a.id = s.activity_id
LEFT JOIN latent z ON z.id = s.latent_id
LEFT JOIN model_version m ON m.id = z.model_version_id
LEFT JOIN composition c ON c.id = s.composition_id
LEFT JOIN decode_failure f ON f.suggestion_id = s.suggestion_id
LEFT JOIN suggestion_expectation q ON q.suggestion_id = s.suggestion_id AND q.position = 1
"""

V_ITERATION_RECOUNT = """
CREATE OR REPLACE VIEW v_iteration_recount AS
SELECT i.id AS iteration_id, i.campaign_id,
       count(s.suggestion_id) AS n_suggested,
       count(*) FILTER (WHERE s.outcome = 'undecodable') AS n_undecodable,
       count(*) FILTER (WHERE s.outcome <> 'undecodable') AS n_decodable,
       count(*) FILTER (WHERE s.outcome = 'duplicate') AS n_duplicate,
       count(*) FILTER (WHERE s.outcome = 'known') AS n_known,
       count(*) FILTER (WHERE s.outcome IN ('rejected', 'unanswered')) AS n_rejected,
       count(*) FILTER (WHERE s.outcome = 'new' AND s.label_id IS NOT NULL) AS n_new,
       count(*) FILTER (WHERE s.is_charged) AS n_charged,
       count(*) FILTER (WHERE s.is_result AND s.is_find) AS n_finds,
       count(*) FILTER (WHERE s.is_result AND s.is_find AND s.is_known) AS n_known_finds,
       max(s.value) FILTER (WHERE s.is_result) AS highest,
       min(s.value) FILTER (WHERE s.is_result) AS lowest,
       (array_agg(s.value ORDER BY s.is_feasible DESC, agd_objective(k.target_low, k.target_high, s.value) DESC, s.rank)
        FILTER (WHERE s.is_result))[1] AS best,
       bool_or(s.is_feasible) FILTER (WHERE s.is_result) AS is_best_feasible
FROM iteration i
JOIN campaign k ON k.id = i.campaign_id
LEFT JOIN v_suggestion_judged s ON s.iteration_id = i.id
GROUP BY i.id
"""

V_ITERATION_CHANGES = """
CREATE OR REPLACE VIEW v_iteration_changes AS
SELECT s.iteration_id, count(*) AS n
FROM (SELECT suggestion_id FROM given_up
      UNION ALL SELECT suggestion_id FROM label_replacement
      UNION ALL SELECT s.id FROM retraction x JOIN suggestion s ON s.label_id = x.label_id
      UNION ALL SELECT r.suggestion_id FROM retraction x JOIN label_replacement r ON r.label_id = x.label_id
      UNION ALL SELECT f.suggestion_id FROM retraction x JOIN suggestion_label f ON f.label_id = x.label_id) said
JOIN suggestion s ON s.id = said.suggestion_id
GROUP BY s.iteration_id
"""

V_ITERATION = """
CREATE OR REPLACE VIEW v_iteration AS
SELECT k.name AS campaign, i.number AS iteration,
       coalesce(n.n_suggested, t.n_suggested) AS n_suggested,
       coalesce(n.n_undecodable, t.n_undecodable) AS n_undecodable,
       coalesce(n.n_decodable, t.n_decodable) AS n_decodable,
       coalesce(n.n_duplicate, t.n_duplicate) AS n_duplicate,
       coalesce(n.n_known, t.n_known) AS n_known,
       coalesce(n.n_rejected, t.n_rejected) AS n_rejected,
       coalesce(n.n_new, t.n_new) AS n_new,
       coalesce(n.n_charged, t.n_charged) AS n_charged,
       coalesce(n.n_finds, t.n_finds) AS n_finds,
       CASE WHEN n.iteration_id IS NULL THEN t.highest ELSE n.highest END AS highest,
       CASE WHEN n.iteration_id IS NULL THEN t.lowest ELSE n.lowest END AS lowest,
       (t.iteration_id IS NOT NULL
        OR EXISTS (SELECT FROM activity a WHERE a.iteration_id = i.id AND a.kind = 'record' AND a.outcome = 'done'))
           AS is_recorded,
       i.id AS iteration_id, i.campaign_id,
       coalesce(n.n_known_finds, t.n_known_finds) AS n_known_finds,
       CASE WHEN n.iteration_id IS NULL THEN t.best ELSE n.best END AS best,
       CASE WHEN n.iteration_id IS NULL THEN t.is_best_feasible ELSE n.is_best_feasible END AS is_best_feasible
FROM iteration i
JOIN campaign k ON k.id = i.campaign_id
LEFT JOIN iteration_tally t ON t.iteration_id = i.id
     AND NOT EXISTS (SELECT FROM iteration_tally l WHERE l.iteration_id = t.iteration_id AND l.number > t.number)
LEFT JOIN v_iteration_changes x ON x.iteration_id = i.id
LEFT JOIN LATERAL (SELECT * FROM v_iteration_recount r WHERE r.iteration_id = i.id
                   AND t.n_changes IS DISTINCT FROM coalesce(x.n, 0) OFFSET 0) n ON true
"""

V_CAMPAIGN_PROGRESS = """
CREATE OR REPLACE VIEW v_campaign_progress AS
SELECT k.name AS campaign, k.property, p.unit, k.target_low, k.target_high, k.mode, b.calls AS budget_calls,
       count(*) FILTER (WHERE i.is_recorded) AS n_iterations,
       coalesce(sum(i.n_suggested), 0)::bigint AS n_suggested,
       coalesce(sum(i.n_undecodable), 0)::bigint AS n_undecodable,
       coalesce(sum(i.n_decodable), 0)::bigint AS n_decodable,
       coalesce(sum(i.n_duplicate), 0)::bigint AS n_duplicate,
       coalesce(sum(i.n_known), 0)::bigint AS n_known,
       coalesce(sum(i.n_rejected), 0)::bigint AS n_rejected,
       coalesce(sum(i.n_new), 0)::bigint AS n_new,
       coalesce(sum(i.n_charged), 0)::bigint AS n_charged,
       coalesce(sum(i.n_finds), 0)::bigint AS n_finds,
       round(sum(i.n_finds) / nullif(sum(i.n_charged), 0), 4) AS finds_per_call,
       max(i.highest) AS highest, min(i.lowest) AS lowest, t.name AS twin_of,
       k.created_at, k.stop_requested_at, k.ended_at, k.end_reason, k.id AS campaign_id,
       coalesce(sum(i.n_known_finds), 0)::bigint AS n_known_finds, b.calls_at_first AS budget_calls_at_first,
       (array_agg(i.best ORDER BY i.is_best_feasible DESC, agd_objective(k.target_low, k.target_high, i.best) DESC,
                                  i.iteration) FILTER (WHERE i.best IS NOT NULL))[1] AS best
FROM campaign k
JOIN v_campaign_budget b ON b.campaign_id = k.id
JOIN property p ON p.name = k.property
LEFT JOIN campaign t ON t.id = k.twin_of_id
LEFT JOIN v_iteration i ON i.campaign_id = k.id
GROUP BY k.id, k.name, p.name, t.name, b.calls, b.calls_at_first
"""

_COUNTS = (
    *("n_suggested", "n_undecodable", "n_decodable", "n_duplicate", "n_known", "n_rejected", "n_new", "n_charged"),
    *("n_finds", "n_known_finds"),
)
_COUNTED = ", ".join((*_COUNTS, "highest", "lowest", "best", "is_best_feasible"))

BACKFILL = f"""
INSERT INTO iteration_tally (iteration_id, number, {_COUNTED}, n_changes, activity_id)
SELECT r.iteration_id, 1, {_COUNTED}, coalesce(x.n, 0), a.id
FROM v_iteration_recount r
JOIN (SELECT iteration_id, min(id) AS id FROM activity WHERE kind = 'record' AND outcome = 'done'
      GROUP BY iteration_id) a ON a.iteration_id = r.iteration_id
LEFT JOIN v_iteration_changes x ON x.iteration_id = r.iteration_id
"""

INDEXES = {
    "ix_label_composition": ("label", ["composition_id"], None),
    "ix_activity_iteration": ("activity", ["iteration_id", "kind"], "iteration_id IS NOT NULL"),
}


def upgrade() -> None:
    """Count what is recorded, and read it where it is asked for."""
    op.create_table(
        "iteration_tally",
        sa.Column("iteration_id", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False, comment="the highest one holds"),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in _COUNTS),
        sa.Column("highest", sa.Double(), comment="of the results, NULL where there is none"),
        sa.Column("lowest", sa.Double()),
        sa.Column("best", sa.Double(), comment="the value of the first result in the order in which they are shown"),
        sa.Column("is_best_feasible", sa.Boolean(), comment="whether that meets all further targets"),
        sa.Column("n_changes", sa.Integer(), nullable=False, comment="that v_iteration_changes counted by then"),
        sa.Column("activity_id", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("number > 0", name=op.f("ck_iteration_tally_number_is_positive")),
        sa.CheckConstraint(
            "(best IS NULL) = (is_best_feasible IS NULL)", name=op.f("ck_iteration_tally_best_is_whole")
        ),
        sa.ForeignKeyConstraint(["iteration_id"], ["iteration.id"], name=op.f("fk_iteration_tally_iteration_id")),
        sa.ForeignKeyConstraint(["activity_id"], ["activity.id"], name=op.f("fk_iteration_tally_activity_id")),
        sa.PrimaryKeyConstraint("iteration_id", "number", name=op.f("pk_iteration_tally")),
    )
    for name, (table, columns, where) in INDEXES.items():
        op.create_index(name, table, columns, postgresql_where=None if where is None else sa.text(where))
    for view in (V_SUGGESTION_STATE, V_SUGGESTION, V_ITERATION_RECOUNT, V_ITERATION_CHANGES):
        op.execute(view)
    op.execute(BACKFILL)
    op.execute("ANALYZE iteration_tally")
    for view in (V_ITERATION, V_CAMPAIGN_PROGRESS):
        op.execute(view)
    op.execute(
        "CREATE TRIGGER defend_table BEFORE TRUNCATE ON iteration_tally FOR EACH STATEMENT"
        " EXECUTE FUNCTION agd_defend()"
    )
    for event, name in (("DELETE", "defend_rows"), ("UPDATE", "defend_values")):
        op.execute(
            f"CREATE TRIGGER {name} BEFORE {event} ON iteration_tally FOR EACH ROW EXECUTE FUNCTION agd_defend('', '')"
        )


def downgrade() -> None:
    """Go back: what was counted can be counted again."""
    for view in ("v_campaign_progress", "v_iteration", "v_iteration_changes", "v_iteration_recount"):
        op.execute(f"DROP VIEW {view}")
    op.execute(_DEFENCE.V_SUGGESTION_STATE.replace("CREATE VIEW", "CREATE OR REPLACE VIEW"))
    for view in (_PROPERTIES.V_SUGGESTION, _FORMULAS.V_ITERATION, _AMENDMENTS.V_CAMPAIGN_PROGRESS):
        op.execute(view)
    for name, (table, _, _) in INDEXES.items():
        op.drop_index(name, table)
    op.drop_table("iteration_tally")
