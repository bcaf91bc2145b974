"""A search among formulas needs no latent point, and says what each suggestion was made from and what was known.

Revision ID: 0011
Revises: 0010
"""

from importlib import import_module

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_COMPLETED = import_module("agd_migrations.versions.0002_campaign_completed")
_DEFENCE = import_module("agd_migrations.versions.0006_defence")
_HASHES = import_module("agd_migrations.versions.0007_hashes")
_JUDGED = import_module("agd_migrations.versions.0009_judged")

V_KNOWN_DATASET = """
CREATE OR REPLACE VIEW v_known_dataset AS
SELECT campaign_id, dataset_id FROM campaign_known
UNION
SELECT q.campaign_id, s.dataset_id
FROM campaign_set q JOIN training_set_source s ON s.training_set_id = q.training_set_id
WHERE q.role IN ('initial', 'oracle')
"""

V_SUGGESTION_JUDGED = """
CREATE OR REPLACE VIEW v_suggestion_judged AS
SELECT s.*, l.value, l.uncertainty, x.label_id IS NOT NULL AS is_retracted,
       (l.value >= coalesce(k.target_low, '-Infinity') AND l.value <= coalesce(k.target_high, 'Infinity')
        AND x.label_id IS NULL AND agd_is_plausible(k.property, l.value)) AS is_find,
       (s.label_id IS NOT NULL AND (s.outcome = 'new' OR k.mode = 'paper')) AS is_charged,
       coalesce(s.outcome = 'new' AND x.label_id IS NULL AND agd_is_plausible(k.property, l.value), false) AS is_result,
       coalesce(s.outcome = 'new' AND s.label_id IS NULL
                AND (k.spec #>> '{oracle,kind}' IS DISTINCT FROM 'external' OR NOT EXISTS (
                    SELECT FROM label m WHERE m.composition_id = s.composition_id AND m.property = k.property
                    AND m.measurement_id IS NOT NULL
                    AND NOT EXISTS (SELECT FROM retraction w WHERE w.label_id = m.id))), false) AS is_awaited,
       EXISTS (SELECT FROM v_known_dataset d JOIN dataset_row r ON r.dataset_id = d.dataset_id
               WHERE d.campaign_id = s.campaign_id AND r.composition_id = s.composition_id) AS is_known
FROM v_suggestion_state s
JOIN campaign k ON k.id = s.campaign_id
LEFT JOIN label l ON l.id = s.label_id
LEFT JOIN retraction x ON x.label_id = s.label_id
"""

V_SUGGESTION = """
CREATE OR REPLACE VIEW v_suggestion AS
SELECT k.name AS campaign, i.number AS iteration, s.rank, s.outcome, s.reason, f.reason AS decode_failure,
       c.reduced_formula, s.value, s.uncertainty, p.unit, s.is_find, s.is_retracted, s.is_charged,
       s.proposed, s.posterior_mean, s.posterior_sd, s.acquisition,
       a.seed, a.started_at AS suggested_at, a.agd_version, a.host,
       m.tensors_sha256 AS autoencoder_sha256,
       s.suggestion_id, s.campaign_id, s.iteration_id, s.latent_id, s.composition_id, s.label_id, s.activity_id,
       s.is_result, s.is_awaited, s.is_known
FROM v_suggestion_judged s
JOIN campaign k ON k.id = s.campaign_id
JOIN property p ON p.name = k.property
JOIN iteration i ON i.id = s.iteration_id
JOIN activity a ON a.id = s.activity_id
LEFT JOIN latent z ON z.id = s.latent_id
LEFT JOIN model_version m ON m.id = z.model_version_id
LEFT JOIN composition c ON c.id = s.composition_id
LEFT JOIN decode_failure f ON f.suggestion_id = s.suggestion_id
"""

V_ITERATION = """
CREATE OR REPLACE VIEW v_iteration AS
SELECT k.name AS campaign, i.number AS iteration,
       count(s.suggestion_id) AS n_suggested,
       count(*) FILTER (WHERE s.outcome = 'undecodable') AS n_undecodable,
       count(*) FILTER (WHERE s.outcome <> 'undecodable') AS n_decodable,
       count(*) FILTER (WHERE s.outcome = 'duplicate') AS n_duplicate,
       count(*) FILTER (WHERE s.outcome = 'known') AS n_known,
       count(*) FILTER (WHERE s.outcome IN ('rejected', 'unanswered')) AS n_rejected,
       count(*) FILTER (WHERE s.outcome = 'new' AND s.label_id IS NOT NULL) AS n_new,
       count(*) FILTER (WHERE s.is_charged) AS n_charged,
       count(*) FILTER (WHERE s.is_result AND s.is_find) AS n_finds,
       max(s.value) FILTER (WHERE s.is_result) AS highest,
       min(s.value) FILTER (WHERE s.is_result) AS lowest,
       EXISTS (SELECT FROM activity a WHERE a.iteration_id = i.id AND a.kind = 'record' AND a.outcome = 'done')
           AS is_recorded,
       i.id AS iteration_id, i.campaign_id,
       count(*) FILTER (WHERE s.is_result AND s.is_find AND s.is_known) AS n_known_finds
FROM iteration i
JOIN campaign k ON k.id = i.campaign_id
LEFT JOIN v_suggestion_judged s ON s.iteration_id = i.id AND s.campaign_id = i.campaign_id
GROUP BY k.id, i.id
"""

V_CAMPAIGN_PROGRESS = """
CREATE OR REPLACE VIEW v_campaign_progress AS
SELECT k.name AS campaign, k.property, p.unit, k.target_low, k.target_high, k.mode, k.budget_calls,
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
       coalesce(sum(i.n_known_finds), 0)::bigint AS n_known_finds
FROM campaign k
JOIN property p ON p.name = k.property
LEFT JOIN campaign t ON t.id = k.twin_of_id
LEFT JOIN v_iteration i ON i.campaign_id = k.id
GROUP BY k.id, p.name, t.name
"""

V_LINEAGE = """
CREATE OR REPLACE VIEW v_lineage AS
SELECT 'composition' AS child_kind, composition_id AS child_id, 'suggested as' AS relation,
       'suggestion' AS parent_kind, id AS parent_id FROM suggestion WHERE composition_id IS NOT NULL
UNION ALL SELECT 'composition', composition_id, 'labelled', 'label', id FROM label
UNION ALL SELECT 'composition', composition_id, 'listed in', 'dataset', dataset_id FROM dataset_row
UNION ALL SELECT 'composition', composition_id, 'encoded as', 'latent', id FROM latent WHERE composition_id IS NOT NULL
UNION ALL SELECT 'composition', composition_id, 'picked in', 'screening', screening_id FROM screening_hit
UNION ALL SELECT 'screening', id, 'of', 'campaign', campaign_id FROM screening
UNION ALL SELECT 'screening', id, 'picked by', 'model_version', model_version_id FROM screening
UNION ALL SELECT 'screening', id, 'picked from', 'dataset', dataset_id FROM screening WHERE dataset_id IS NOT NULL
UNION ALL SELECT 'suggestion', id, 'suggested in', 'iteration', iteration_id FROM suggestion
UNION ALL SELECT 'suggestion', id, 'at the point', 'latent', latent_id FROM suggestion WHERE latent_id IS NOT NULL
UNION ALL SELECT 'suggestion', suggestion_id, 'child of', 'composition', composition_id FROM suggestion_parent
UNION ALL SELECT 'suggestion', id, 'labelled', 'label', label_id FROM suggestion WHERE label_id IS NOT NULL
UNION ALL SELECT 'iteration', id, 'of', 'campaign', campaign_id FROM iteration
UNION ALL SELECT 'campaign', id, 'control of', 'campaign', twin_of_id FROM campaign WHERE twin_of_id IS NOT NULL
UNION ALL SELECT 'campaign', campaign_id, role || ' set', 'training_set', training_set_id FROM campaign_set
UNION ALL SELECT 'campaign', campaign_id, role, 'model_version', model_version_id FROM campaign_model
UNION ALL SELECT 'latent', id, 'point of', 'model_version', model_version_id FROM latent
UNION ALL SELECT 'label', id, 'row of', 'dataset', dataset_id FROM label WHERE dataset_id IS NOT NULL
UNION ALL SELECT 'label', id, 'answered by', 'model_version', model_version_id
          FROM label WHERE model_version_id IS NOT NULL
UNION ALL SELECT 'label', id, 'measured in', 'measurement', measurement_id FROM label WHERE measurement_id IS NOT NULL
UNION ALL SELECT 'model_version', id, 'trained on', 'training_set', training_set_id FROM model_version
UNION ALL SELECT 'training_set', training_set_id, 'drawn from', 'dataset', dataset_id FROM training_set_source
UNION ALL SELECT 'training_set', training_set_id, 'drawn from', 'campaign', campaign_id FROM training_set_campaign
UNION ALL SELECT 'dataset', dataset_id, 'generated by', 'model_version', model_version_id FROM generation
UNION ALL SELECT 'campaign', campaign_id, 'draws from', 'dataset', dataset_id FROM campaign_pool
UNION ALL SELECT 'campaign', campaign_id, 'takes for known', 'dataset', dataset_id FROM campaign_known
UNION ALL SELECT 'suggestion', suggestion_id, 'labelled anew', 'label', label_id FROM label_replacement
"""

CONTENT_HASH_V3 = r"""
CREATE OR REPLACE FUNCTION agd_content_hash_v3(campaign_name text, n_steps integer DEFAULT NULL) RETURNS text
LANGUAGE sql STABLE AS $$
WITH k AS (SELECT c.*, coalesce($2, agd_search_progress(c.id)) AS n FROM campaign c WHERE c.name = $1),
line AS (
    SELECT json_build_array('campaign', k.spec - 'name', k.seed, k.mode, k.property, encode(float8send(k.target_low), 'hex'),
                            encode(float8send(k.target_high), 'hex'), k.budget_calls)::text AS line FROM k
    UNION ALL
    SELECT json_build_array('end', k.end_reason)::text
    FROM k WHERE k.end_reason IS NOT NULL AND k.n >= agd_search_progress(k.id)
    UNION ALL
    SELECT json_build_array('iteration', i.number)::text
    FROM k JOIN iteration i ON i.campaign_id = k.id AND 4 * i.number + 1 <= k.n
    WHERE EXISTS (SELECT FROM activity a WHERE a.iteration_id = i.id AND a.kind = 'record' AND a.outcome = 'done')
    UNION ALL
    SELECT json_build_array('member', q.role, c.reduced_formula, t.is_held_out, t.is_validation,
                     l.property, encode(float8send(l.value), 'hex'), encode(float8send(l.uncertainty), 'hex'),
                     coalesce(d.recipe_sha256, m.tensors_sha256), e.operator,
                     to_char(e.measured_on, 'YYYY-MM-DD'), e.replicate)::text
    FROM k JOIN campaign_set q ON q.campaign_id = k.id JOIN training_set_member t USING (training_set_id)
    JOIN composition c ON c.id = t.composition_id LEFT JOIN label l ON l.id = t.label_id
    LEFT JOIN dataset d ON d.id = l.dataset_id LEFT JOIN model_version m ON m.id = l.model_version_id
    LEFT JOIN measurement e ON e.id = l.measurement_id
    UNION ALL
    SELECT json_build_array('pool', d.recipe_sha256)::text
    FROM k JOIN campaign_pool q ON q.campaign_id = k.id JOIN dataset d ON d.id = q.dataset_id
    UNION ALL
    SELECT json_build_array('known', d.recipe_sha256)::text
    FROM k JOIN campaign_known q ON q.campaign_id = k.id JOIN dataset d ON d.id = q.dataset_id
    UNION ALL
    SELECT json_build_array('model', q.role, m.recipe_sha256, m.tensors_sha256)::text
    FROM k JOIN campaign_model q ON q.campaign_id = k.id JOIN model_version m ON m.id = q.model_version_id
    WHERE k.n >= 1
    UNION ALL
    SELECT json_build_array('latent', c.reduced_formula, encode(sha256(array_send(z.vector)), 'hex'))::text
    FROM k JOIN campaign_set q ON q.campaign_id = k.id AND q.role = 'initial'
    JOIN campaign_model r ON r.campaign_id = k.id AND r.role = 'autoencoder'
    JOIN training_set_member t ON t.training_set_id = q.training_set_id
    JOIN latent z ON z.model_version_id = r.model_version_id AND z.composition_id = t.composition_id
    JOIN composition c ON c.id = t.composition_id
    WHERE k.n >= 1
    UNION ALL
    SELECT json_build_array('suggestion', i.number, s.rank, s.proposed, encode(sha256(array_send(z.vector)), 'hex'),
                     encode(float8send(s.posterior_mean), 'hex'), encode(float8send(s.posterior_sd), 'hex'), encode(float8send(s.acquisition), 'hex'),
                     CASE WHEN s.proposed = 'composition' OR 4 * i.number - 1 <= k.n THEN c.reduced_formula END,
                     CASE WHEN 4 * i.number - 1 <= k.n THEN s.outcome END,
                     CASE WHEN 4 * i.number - 1 <= k.n THEN s.reason END,
                     CASE WHEN 4 * i.number - 1 <= k.n THEN f.reason END)::text
    FROM k JOIN suggestion s ON s.campaign_id = k.id JOIN iteration i ON i.id = s.iteration_id
    LEFT JOIN latent z ON z.id = s.latent_id LEFT JOIN composition c ON c.id = s.composition_id
    LEFT JOIN decode_failure f ON f.suggestion_id = s.id
    WHERE 4 * i.number - 2 <= k.n
    UNION ALL
    SELECT json_build_array('parent', i.number, s.rank, c.reduced_formula, p.operator)::text
    FROM k JOIN suggestion s ON s.campaign_id = k.id JOIN iteration i ON i.id = s.iteration_id
    JOIN suggestion_parent p ON p.suggestion_id = s.id JOIN composition c ON c.id = p.composition_id
    WHERE 4 * i.number - 2 <= k.n
    UNION ALL
    SELECT json_build_array('answer', i.number, s.rank, l.property, encode(float8send(l.value), 'hex'), encode(float8send(l.uncertainty), 'hex'),
                     coalesce(d.recipe_sha256, m.tensors_sha256), e.operator,
                     to_char(e.measured_on, 'YYYY-MM-DD'), e.replicate)::text
    FROM k JOIN suggestion s ON s.campaign_id = k.id JOIN iteration i ON i.id = s.iteration_id
    JOIN label l ON l.id = s.label_id
    LEFT JOIN dataset d ON d.id = l.dataset_id LEFT JOIN model_version m ON m.id = l.model_version_id
    LEFT JOIN measurement e ON e.id = l.measurement_id
    WHERE 4 * i.number <= k.n
    UNION ALL
    SELECT json_build_array('no answer', i.number, s.rank)::text
    FROM k JOIN suggestion s ON s.campaign_id = k.id JOIN iteration i ON i.id = s.iteration_id
    JOIN given_up g ON g.suggestion_id = s.id
    WHERE 4 * i.number <= k.n
)
SELECT encode(sha256(convert_to(string_agg(line, E'\n' ORDER BY line COLLATE "C"), 'UTF8')), 'hex') FROM line
$$
"""  # noqa: E501  as it is printed

VIEWS = (V_KNOWN_DATASET, V_SUGGESTION_JUDGED, V_SUGGESTION, V_ITERATION, V_CAMPAIGN_PROGRESS, V_LINEAGE)

TABLES = ("campaign_known", "suggestion_parent")

KEPT = {
    "suggestion WHERE latent_id IS NULL": "compositions that nothing has encoded",
    "suggestion_parent": "parents of suggestions",
    "campaign_known": "what campaigns take for known",
}

POINTS = "the point that was proposed, or that encodes the composition; NULL where nothing was encoded"


def upgrade() -> None:
    op.create_table(
        "campaign_known",
        sa.Column("campaign_id", sa.BigInteger(), nullable=False),
        sa.Column("dataset_id", sa.BigInteger(), nullable=False),
        sa.Column("activity_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaign.id"], name=op.f("fk_campaign_known_campaign_id")),
        sa.ForeignKeyConstraint(["dataset_id"], ["dataset.id"], name=op.f("fk_campaign_known_dataset_id")),
        sa.ForeignKeyConstraint(["activity_id"], ["activity.id"], name=op.f("fk_campaign_known_activity_id")),
        sa.PrimaryKeyConstraint("campaign_id", "dataset_id", name=op.f("pk_campaign_known")),
    )
    op.create_index("ix_campaign_known_dataset", "campaign_known", ["dataset_id"])
    op.create_table(
        "suggestion_parent",
        sa.Column("suggestion_id", sa.BigInteger(), nullable=False),
        sa.Column("composition_id", sa.BigInteger(), nullable=False),
        sa.Column("operator", sa.Text(), nullable=False, comment="how the suggestion was made from this composition"),
        sa.Column("activity_id", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("operator <> ''", name=op.f("ck_suggestion_parent_operator_is_named")),
        sa.ForeignKeyConstraint(["suggestion_id"], ["suggestion.id"], name=op.f("fk_suggestion_parent_suggestion_id")),
        sa.ForeignKeyConstraint(
            ["composition_id"], ["composition.id"], name=op.f("fk_suggestion_parent_composition_id")
        ),
        sa.ForeignKeyConstraint(["activity_id"], ["activity.id"], name=op.f("fk_suggestion_parent_activity_id")),
        sa.PrimaryKeyConstraint("suggestion_id", "composition_id", name=op.f("pk_suggestion_parent")),
    )
    op.create_index("ix_suggestion_parent_composition", "suggestion_parent", ["composition_id"])
    op.alter_column("suggestion", "latent_id", nullable=True, comment=POINTS, existing_type=sa.BigInteger())
    op.create_check_constraint(
        op.f("ck_suggestion_point_is_latent"), "suggestion", "proposed = 'composition' OR latent_id IS NOT NULL"
    )
    for view in VIEWS:
        op.execute(view)
    op.execute(CONTENT_HASH_V3)
    for table in TABLES:
        op.execute(
            f"CREATE TRIGGER defend_table BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION agd_defend()"
        )
        for event, name in (("DELETE", "defend_rows"), ("UPDATE", "defend_values")):
            op.execute(
                f"CREATE TRIGGER {name} BEFORE {event} ON {table} FOR EACH ROW EXECUTE FUNCTION agd_defend('', '')"
            )


def downgrade() -> None:
    """Go back; refused where that would lose what the revision before cannot hold."""
    for rows, what in KEPT.items():
        if op.get_bind().scalar(sa.text(f"SELECT EXISTS (SELECT FROM {rows})")):
            raise RuntimeError(
                f"revision {down_revision} has no place for {what}, and the record has some: nothing was changed"
            )
    for view in ("v_suggestion", "v_campaign_progress", "v_iteration", "v_suggestion_judged", "v_known_dataset"):
        op.execute(f"DROP VIEW {view}")  # a view in place of another keeps its columns, and some are new
    for view in (
        _JUDGED.V_SUGGESTION_JUDGED,
        _JUDGED.V_SUGGESTION,
        _JUDGED.V_ITERATION,
        _COMPLETED.V_CAMPAIGN_PROGRESS,
    ):
        op.execute(view)
    for text in (_DEFENCE.V_LINEAGE, _HASHES.CONTENT_HASH):
        op.execute(text.replace("CREATE ", "CREATE OR REPLACE ", 1))
    op.drop_constraint(op.f("ck_suggestion_point_is_latent"), "suggestion")
    op.alter_column("suggestion", "latent_id", nullable=False, comment=None, existing_comment=POINTS)
    for table in reversed(TABLES):
        op.drop_table(table)
