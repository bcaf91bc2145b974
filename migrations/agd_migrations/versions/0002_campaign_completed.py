"""Measurements and retractions, twins and the published mode, screeners and screenings, rules with their options.

Revision ID: 0002
Revises: 0001
"""

from importlib import import_module

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

V_LABEL = """
CREATE VIEW v_label AS
SELECT l.id AS label_id, c.reduced_formula, l.property, l.value, p.unit, l.uncertainty,
       CASE WHEN l.dataset_id IS NOT NULL THEN 'dataset' WHEN l.model_version_id IS NOT NULL THEN 'oracle'
            ELSE 'measurement' END AS source_kind,
       coalesce(d.name, m.plugin, e.operator) AS source,
       coalesce(d.source_sha256, m.tensors_sha256) AS source_sha256,
       r.line AS source_line, r.formula AS source_formula,
       e.measured_on, e.replicate, e.note,
       x.label_id IS NOT NULL AS is_retracted, x.reason AS retraction_reason, b.started_at AS retracted_at,
       a.kind AS activity, a.started_at, a.agd_version, a.host,
       l.composition_id, l.dataset_id, l.model_version_id, l.measurement_id, l.activity_id
FROM label l
JOIN composition c ON c.id = l.composition_id
JOIN property p ON p.name = l.property
JOIN activity a ON a.id = l.activity_id
LEFT JOIN dataset d ON d.id = l.dataset_id
LEFT JOIN dataset_row r ON r.dataset_id = l.dataset_id AND r.composition_id = l.composition_id
LEFT JOIN model_version m ON m.id = l.model_version_id
LEFT JOIN measurement e ON e.id = l.measurement_id
LEFT JOIN retraction x ON x.label_id = l.id
LEFT JOIN activity b ON b.id = x.activity_id
"""

V_SUGGESTION = """
CREATE VIEW v_suggestion AS
SELECT k.name AS campaign, i.number AS iteration, s.rank, s.outcome, s.reason, f.reason AS decode_failure,
       c.reduced_formula, l.value, l.uncertainty, p.unit,
       (l.value >= coalesce(k.target_low, '-Infinity') AND l.value <= coalesce(k.target_high, 'Infinity')
        AND x.label_id IS NULL) AS is_find,
       x.label_id IS NOT NULL AS is_retracted,
       (s.label_id IS NOT NULL AND (s.outcome = 'new' OR k.mode = 'paper')) AS is_charged,
       s.proposed, s.posterior_mean, s.posterior_sd, s.acquisition,
       a.seed, a.started_at AS suggested_at, a.agd_version, a.host,
       m.tensors_sha256 AS autoencoder_sha256,
       s.id AS suggestion_id, s.campaign_id, s.iteration_id, s.latent_id, s.composition_id, s.label_id, s.activity_id
FROM suggestion s
JOIN campaign k ON k.id = s.campaign_id
JOIN property p ON p.name = k.property
JOIN iteration i ON i.id = s.iteration_id
JOIN activity a ON a.id = s.activity_id
JOIN latent z ON z.id = s.latent_id
JOIN model_version m ON m.id = z.model_version_id
LEFT JOIN composition c ON c.id = s.composition_id
LEFT JOIN label l ON l.id = s.label_id
LEFT JOIN retraction x ON x.label_id = s.label_id
LEFT JOIN decode_failure f ON f.suggestion_id = s.id
"""

V_LINEAGE = """
CREATE VIEW v_lineage AS
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
UNION ALL SELECT 'suggestion', id, 'at the point', 'latent', latent_id FROM suggestion
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
"""

_COUNTERS = """
       count(s.id) AS n_suggested,
       count(*) FILTER (WHERE s.outcome = 'undecodable') AS n_undecodable,
       count(*) FILTER (WHERE s.outcome <> 'undecodable') AS n_decodable,
       count(*) FILTER (WHERE s.outcome = 'duplicate') AS n_duplicate,
       count(*) FILTER (WHERE s.outcome = 'known') AS n_known,
       count(*) FILTER (WHERE s.outcome IN ('rejected', 'unanswered')) AS n_rejected,
       count(*) FILTER (WHERE s.outcome = 'new' AND s.label_id IS NOT NULL) AS n_new,
       count(*) FILTER (WHERE s.label_id IS NOT NULL AND (s.outcome = 'new' OR k.mode = 'paper')) AS n_charged,
       count(*) FILTER (WHERE s.outcome = 'new' AND v.is_find) AS n_finds"""

V_ITERATION = f"""
CREATE VIEW v_iteration AS
SELECT k.name AS campaign, i.number AS iteration,{_COUNTERS},
       max(l.value) FILTER (WHERE s.outcome = 'new' AND x.label_id IS NULL) AS highest,
       min(l.value) FILTER (WHERE s.outcome = 'new' AND x.label_id IS NULL) AS lowest,
       EXISTS (SELECT FROM activity a WHERE a.iteration_id = i.id AND a.kind = 'record' AND a.outcome = 'done')
           AS is_recorded,
       i.id AS iteration_id, i.campaign_id
FROM iteration i
JOIN campaign k ON k.id = i.campaign_id
LEFT JOIN suggestion s ON s.iteration_id = i.id
LEFT JOIN label l ON l.id = s.label_id
LEFT JOIN retraction x ON x.label_id = s.label_id
LEFT JOIN LATERAL (SELECT l.value >= coalesce(k.target_low, '-Infinity')
                      AND l.value <= coalesce(k.target_high, 'Infinity')
                      AND x.label_id IS NULL AS is_find) v ON true
GROUP BY k.id, i.id
"""

V_CAMPAIGN_PROGRESS = """
CREATE VIEW v_campaign_progress AS
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
       k.created_at, k.stop_requested_at, k.ended_at, k.end_reason, k.id AS campaign_id
FROM campaign k
JOIN property p ON p.name = k.property
LEFT JOIN campaign t ON t.id = k.twin_of_id
LEFT JOIN v_iteration i ON i.campaign_id = k.id
GROUP BY k.id, p.name, t.name
"""

V_TRAINING_LABEL = """
CREATE VIEW v_training_label AS
SELECT m.id AS model_version_id, m.kind, m.plugin, m.tensors_sha256, q.is_held_out,
       c.reduced_formula, l.property, l.value, l.uncertainty,
       CASE WHEN l.dataset_id IS NOT NULL THEN 'dataset' WHEN l.model_version_id IS NOT NULL THEN 'oracle'
            ELSE 'measurement' END AS source_kind,
       d.name AS dataset, k.name AS campaign, first.iteration,
       t.id AS training_set_id, l.composition_id, l.id AS label_id
FROM model_version m
JOIN training_set t ON t.id = m.training_set_id
JOIN training_set_member q ON q.training_set_id = t.id
JOIN label l ON l.id = q.label_id
JOIN composition c ON c.id = q.composition_id
LEFT JOIN dataset d ON d.id = l.dataset_id
LEFT JOIN LATERAL (
    SELECT s.campaign_id, i.number AS iteration FROM suggestion s
    JOIN training_set_campaign g ON g.training_set_id = t.id AND g.campaign_id = s.campaign_id
    JOIN iteration i ON i.id = s.iteration_id
    WHERE s.label_id = l.id AND s.outcome = 'new' ORDER BY i.number LIMIT 1
) first ON true
LEFT JOIN campaign k ON k.id = first.campaign_id
"""

V_SCREENING_HIT = """
CREATE VIEW v_screening_hit AS
SELECT k.name AS campaign, g.role, h.rank, c.reduced_formula, h.value, p.unit, h.uncertainty,
       g.source AS pool, h.line AS pool_line, h.formula AS pool_formula, g.source_sha256 AS pool_sha256,
       m.plugin AS screener, m.tensors_sha256 AS screener_sha256, a.started_at AS screened_at, a.agd_version, a.host,
       g.id AS screening_id, g.campaign_id, g.model_version_id, h.composition_id, g.activity_id
FROM screening_hit h
JOIN screening g ON g.id = h.screening_id
JOIN campaign k ON k.id = g.campaign_id
JOIN composition c ON c.id = h.composition_id
JOIN model_version m ON m.id = g.model_version_id
JOIN property p ON p.name = m.property
JOIN activity a ON a.id = g.activity_id
"""

# As version 1, with measurements as sources, retractions, screenings: the same text where a campaign has none of them.
CONTENT_HASH = """
CREATE FUNCTION agd_content_hash_v2(campaign_name text) RETURNS text LANGUAGE sql STABLE AS $$
WITH k AS (SELECT * FROM campaign WHERE name = campaign_name),
source AS (
    SELECT l.id, l.composition_id,
           concat_ws(' ', l.property, encode(float8send(l.value), 'hex'),
                     coalesce(encode(float8send(l.uncertainty), 'hex'), '-'),
                     coalesce(d.recipe_sha256, m.tensors_sha256,
                              concat_ws('|', 'measured', e.operator, to_char(e.measured_on, 'YYYY-MM-DD'),
                                        e.replicate)),
                     'retracted: ' || x.reason) AS line
    FROM label l LEFT JOIN dataset d ON d.id = l.dataset_id LEFT JOIN model_version m ON m.id = l.model_version_id
    LEFT JOIN measurement e ON e.id = l.measurement_id LEFT JOIN retraction x ON x.label_id = l.id
    WHERE l.id IN (SELECT label_id FROM suggestion s JOIN k ON k.id = s.campaign_id)
       OR l.id IN (SELECT t.label_id FROM training_set_member t
                   JOIN campaign_set q USING (training_set_id) JOIN k ON k.id = q.campaign_id)
       OR l.id IN (SELECT t.label_id FROM training_set_member t JOIN model_version v USING (training_set_id)
                   JOIN screening g ON g.model_version_id = v.id JOIN k ON k.id = g.campaign_id)
),
line AS (
    SELECT 'campaign ' || spec_sha256 AS line FROM k
    UNION ALL
    SELECT concat_ws(' ', 'iteration', i.iteration)
    FROM v_iteration i JOIN k ON k.id = i.campaign_id WHERE i.is_recorded
    UNION ALL
    SELECT concat_ws(' ', 'member', q.role, c.reduced_formula, t.is_held_out::int, coalesce(source.line, '-'))
    FROM k JOIN campaign_set q ON q.campaign_id = k.id JOIN training_set_member t USING (training_set_id)
    JOIN composition c ON c.id = t.composition_id LEFT JOIN source ON source.id = t.label_id
    UNION ALL
    SELECT concat_ws(' ', 'model', q.role, m.recipe_sha256, m.tensors_sha256)
    FROM k JOIN campaign_model q ON q.campaign_id = k.id JOIN model_version m ON m.id = q.model_version_id
    UNION ALL
    SELECT concat_ws(' ', 'suggestion', i.number, s.rank, s.proposed, encode(sha256(array_send(z.vector)), 'hex'),
                     coalesce(encode(float8send(s.posterior_mean), 'hex'), '-'),
                     coalesce(encode(float8send(s.posterior_sd), 'hex'), '-'),
                     coalesce(encode(float8send(s.acquisition), 'hex'), '-'),
                     coalesce(s.outcome, '-'), coalesce(c.reduced_formula, '-'), coalesce(s.reason, '-'),
                     coalesce(f.reason, '-'), coalesce(source.line, '-'))
    FROM k JOIN suggestion s ON s.campaign_id = k.id JOIN iteration i ON i.id = s.iteration_id
    JOIN latent z ON z.id = s.latent_id LEFT JOIN composition c ON c.id = s.composition_id
    LEFT JOIN decode_failure f ON f.suggestion_id = s.id LEFT JOIN source ON source.id = s.label_id
    UNION ALL
    SELECT concat_ws(' ', 'screening', g.recipe_sha256, m.recipe_sha256, m.tensors_sha256)
    FROM k JOIN screening g ON g.campaign_id = k.id JOIN model_version m ON m.id = g.model_version_id
    UNION ALL
    SELECT concat_ws(' ', 'screener member', g.recipe_sha256, c.reduced_formula, t.is_held_out::int, source.line)
    FROM k JOIN screening g ON g.campaign_id = k.id JOIN model_version m ON m.id = g.model_version_id
    JOIN training_set_member t ON t.training_set_id = m.training_set_id
    JOIN composition c ON c.id = t.composition_id LEFT JOIN source ON source.id = t.label_id
    UNION ALL
    SELECT concat_ws(' ', 'stage', g.recipe_sha256, t.position, t.name, t.n_left)
    FROM k JOIN screening g ON g.campaign_id = k.id JOIN screening_stage t ON t.screening_id = g.id
    UNION ALL
    SELECT concat_ws(' ', 'hit', g.recipe_sha256, h.rank, c.reduced_formula, h.line,
                     encode(float8send(h.value), 'hex'), encode(float8send(h.uncertainty), 'hex'))
    FROM k JOIN screening g ON g.campaign_id = k.id JOIN screening_hit h ON h.screening_id = g.id
    JOIN composition c ON c.id = h.composition_id
)
SELECT encode(sha256(convert_to(string_agg(line, E'\\n' ORDER BY line COLLATE "C"), 'UTF8')), 'hex') FROM line
$$
"""

REPLACED = {
    "v_label": V_LABEL,
    "v_suggestion": V_SUGGESTION,
    "v_lineage": V_LINEAGE,
    "v_iteration": V_ITERATION,
    "v_campaign_progress": V_CAMPAIGN_PROGRESS,
}
ADDED = {"v_training_label": V_TRAINING_LABEL, "v_screening_hit": V_SCREENING_HIT}

# In the order of their making; dropped from the last to the first.
TABLES = [
    "verdict_rule",
    "training_set_campaign",
    "measurement",
    "retraction",
    "screening",
    "screening_stage",
    "screening_hit",
]

KEPT = {
    "retraction": "retractions",
    "measurement": "measurements",
    "screening": "screenings",
    "model_version WHERE kind = 'screener'": "screeners",
    "campaign WHERE mode <> 'default'": "campaigns in the published mode",
    "campaign WHERE twin_of_id IS NOT NULL": "controls",
}


def upgrade() -> None:
    _drop_views()
    _alter_tables()
    _create_tables()
    for view in (REPLACED | ADDED).values():
        op.execute(view)
    op.execute(CONTENT_HASH)


def downgrade() -> None:
    """Go back; refused where that would lose what revision 0001 cannot hold."""
    for rows, what in KEPT.items():
        if op.get_bind().scalar(sa.text(f"SELECT EXISTS (SELECT FROM {rows})")):
            raise RuntimeError(f"revision 0001 has no place for {what}, and the record has some: nothing was changed")
    op.execute("DROP FUNCTION agd_content_hash_v2(text)")
    for name in reversed(ADDED):
        op.execute(f"DROP VIEW {name}")
    _drop_views()
    _restore_tables()
    for name in reversed(TABLES):
        op.drop_table(name)
    for view in import_module("agd_migrations.versions.0001_spine").VIEWS.values():
        op.execute(view)


def _drop_views() -> None:
    for name in reversed(REPLACED):
        op.execute(f"DROP VIEW {name}")


def _alter_tables() -> None:
    op.add_column(
        "campaign",
        sa.Column(
            "mode",
            sa.Text(),
            server_default="default",
            nullable=False,
            comment="paper: the published loop and accounting",
        ),
    )
    op.add_column(
        "campaign",
        sa.Column("twin_of_id", sa.BigInteger(), nullable=True, comment="the campaign this one is a control of"),
    )
    op.create_foreign_key(op.f("fk_campaign_twin_of_id"), "campaign", "campaign", ["twin_of_id"], ["id"])
    op.create_check_constraint(op.f("ck_campaign_mode_is_known"), "campaign", "mode IN ('default', 'paper')")
    op.create_check_constraint(op.f("ck_campaign_twin_is_another"), "campaign", "twin_of_id <> id")
    op.create_index(
        "ix_campaign_twin_of", "campaign", ["twin_of_id"], postgresql_where=sa.text("twin_of_id IS NOT NULL")
    )
    _recheck("model_version", "kind_is_known", "kind IN ('autoencoder', 'oracle', 'screener')")
    # What these were trained with, said in the words of today, so that they can be made again.
    op.execute("""UPDATE model_version SET options = options || '{"out_of_fold": false}' WHERE kind = 'oracle'""")
    op.drop_constraint(op.f("ck_model_version_oracle_has_property"), "model_version")
    op.create_check_constraint(
        op.f("ck_model_version_answer_has_property"), "model_version", "(kind = 'autoencoder') = (property IS NULL)"
    )
    op.alter_column("model_version", "property", comment="what an oracle or a screener answers")


def _restore_tables() -> None:
    op.drop_constraint(op.f("fk_verdict_rule_rule_version"), "verdict")
    op.drop_constraint(op.f("fk_label_measurement_id_composition_id_property"), "label")
    op.drop_index("uq_label_measurement", "label")
    _recheck("label", "has_one_source", "num_nonnulls(dataset_id, model_version_id) = 1")
    op.drop_column("label", "measurement_id")
    op.drop_constraint(op.f("ck_model_version_answer_has_property"), "model_version")
    _recheck("model_version", "kind_is_known", "kind IN ('autoencoder', 'oracle')")
    op.create_check_constraint(
        op.f("ck_model_version_oracle_has_property"), "model_version", "(kind = 'oracle') = (property IS NOT NULL)"
    )
    op.alter_column("model_version", "property", comment="what an oracle answers")
    op.drop_index("ix_campaign_twin_of", "campaign")
    op.drop_column("campaign", "twin_of_id")
    op.drop_column("campaign", "mode")


def _recheck(table: str, name: str, condition: str) -> None:
    op.drop_constraint(op.f(f"ck_{table}_{name}"), table)
    op.create_check_constraint(op.f(f"ck_{table}_{name}"), table, condition)


def _create_tables() -> None:
    op.create_table(
        "verdict_rule",
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("rule_version", sa.Integer(), nullable=False),
        sa.Column(
            "options", postgresql.JSONB(astext_type=sa.Text()), nullable=False, comment="all that the rule was set to"
        ),
        sa.PrimaryKeyConstraint("rule", "rule_version", name=op.f("pk_verdict_rule")),
    )
    op.execute(
        "INSERT INTO verdict_rule SELECT DISTINCT rule, rule_version, CAST('"
        '{"oxidation_states": "SMACT\'\'s default list", "one_state_per_element": true, "max_elements": 8}'
        "' AS jsonb) FROM verdict"
    )
    op.create_foreign_key(
        op.f("fk_verdict_rule_rule_version"),
        "verdict",
        "verdict_rule",
        ["rule", "rule_version"],
        ["rule", "rule_version"],
    )
    op.create_table(
        "training_set_campaign",
        sa.Column("training_set_id", sa.BigInteger(), nullable=False),
        sa.Column("campaign_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "last_iteration",
            sa.Integer(),
            nullable=False,
            comment="the labels of iterations up to this one were taken",
        ),
        sa.Column("n_members", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaign.id"], name=op.f("fk_training_set_campaign_campaign_id")),
        sa.ForeignKeyConstraint(
            ["training_set_id"], ["training_set.id"], name=op.f("fk_training_set_campaign_training_set_id")
        ),
        sa.PrimaryKeyConstraint("training_set_id", "campaign_id", name=op.f("pk_training_set_campaign")),
    )
    _create_measurements()
    _create_screenings()


def _create_measurements() -> None:
    op.create_table(
        "measurement",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("composition_id", sa.BigInteger(), nullable=False),
        sa.Column("property", sa.Text(), nullable=False),
        sa.Column("operator", sa.Text(), nullable=False),
        sa.Column("measured_on", sa.Date(), nullable=False),
        sa.Column("replicate", sa.Integer(), nullable=False),
        sa.Column("note", sa.Text(), nullable=True, comment="method, sample, reference"),
        sa.Column("activity_id", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("operator <> ''", name=op.f("ck_measurement_operator_is_named")),
        sa.CheckConstraint("replicate > 0", name=op.f("ck_measurement_replicate_is_positive")),
        sa.ForeignKeyConstraint(["activity_id"], ["activity.id"], name=op.f("fk_measurement_activity_id")),
        sa.ForeignKeyConstraint(["composition_id"], ["composition.id"], name=op.f("fk_measurement_composition_id")),
        sa.ForeignKeyConstraint(["property"], ["property.name"], name=op.f("fk_measurement_property")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_measurement")),
        sa.UniqueConstraint(
            "composition_id",
            "property",
            "operator",
            "measured_on",
            "replicate",
            name=op.f("uq_measurement_composition_id_property_operator_measured_on_replicate"),
        ),
        sa.UniqueConstraint("id", "composition_id", "property", name=op.f("uq_measurement_id_composition_id_property")),
    )
    op.add_column("label", sa.Column("measurement_id", sa.BigInteger(), nullable=True))
    op.create_foreign_key(
        op.f("fk_label_measurement_id_composition_id_property"),
        "label",
        "measurement",
        ["measurement_id", "composition_id", "property"],
        ["id", "composition_id", "property"],
    )
    _recheck("label", "has_one_source", "num_nonnulls(dataset_id, model_version_id, measurement_id) = 1")
    op.create_index(
        "uq_label_measurement",
        "label",
        ["measurement_id"],
        unique=True,
        postgresql_where=sa.text("measurement_id IS NOT NULL"),
    )
    op.create_table(
        "retraction",
        sa.Column("label_id", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("activity_id", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("reason <> ''", name=op.f("ck_retraction_reason_is_given")),
        sa.ForeignKeyConstraint(["activity_id"], ["activity.id"], name=op.f("fk_retraction_activity_id")),
        sa.ForeignKeyConstraint(["label_id"], ["label.id"], name=op.f("fk_retraction_label_id")),
        sa.PrimaryKeyConstraint("label_id", name=op.f("pk_retraction")),
    )


def _create_screenings() -> None:
    op.create_table(
        "screening",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("campaign_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "role",
            sa.Text(),
            nullable=False,
            comment="baseline: initial labels; al: initial labels and the campaign's",
        ),
        sa.Column("model_version_id", sa.BigInteger(), nullable=False),
        sa.Column("dataset_id", sa.BigInteger(), nullable=True, comment="NULL where the pool is a file"),
        sa.Column("source", sa.Text(), nullable=False, comment="name of the dataset or of the file"),
        sa.Column("source_sha256", sa.Text(), nullable=False),
        sa.Column("criteria", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("recipe_sha256", sa.Text(), nullable=False, comment="of pool, criteria, role and model"),
        sa.Column("activity_id", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("role IN ('baseline', 'al')", name=op.f("ck_screening_role_is_known")),
        sa.ForeignKeyConstraint(["activity_id"], ["activity.id"], name=op.f("fk_screening_activity_id")),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaign.id"], name=op.f("fk_screening_campaign_id")),
        sa.ForeignKeyConstraint(["dataset_id"], ["dataset.id"], name=op.f("fk_screening_dataset_id")),
        sa.ForeignKeyConstraint(["model_version_id"], ["model_version.id"], name=op.f("fk_screening_model_version_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_screening")),
        sa.UniqueConstraint("recipe_sha256", name=op.f("uq_screening_recipe_sha256")),
    )
    op.create_index("ix_screening_campaign", "screening", ["campaign_id"])
    op.create_table(
        "screening_stage",
        sa.Column("screening_id", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("n_left", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("n_left >= 0", name=op.f("ck_screening_stage_n_left_is_a_count")),
        sa.ForeignKeyConstraint(["screening_id"], ["screening.id"], name=op.f("fk_screening_stage_screening_id")),
        sa.PrimaryKeyConstraint("screening_id", "position", name=op.f("pk_screening_stage")),
    )
    op.create_table(
        "screening_hit",
        sa.Column("screening_id", sa.BigInteger(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("composition_id", sa.BigInteger(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False, comment="of the pool"),
        sa.Column("formula", sa.Text(), nullable=False, comment="as the pool spells it"),
        sa.Column("value", sa.Double(), nullable=False, comment="the screener's prediction: an opinion, not a label"),
        sa.Column("uncertainty", sa.Double(), nullable=False),
        sa.CheckConstraint("rank > 0", name=op.f("ck_screening_hit_rank_is_positive")),
        sa.CheckConstraint("value > '-Infinity' AND value < 'Infinity'", name=op.f("ck_screening_hit_value_is_finite")),
        sa.ForeignKeyConstraint(["composition_id"], ["composition.id"], name=op.f("fk_screening_hit_composition_id")),
        sa.ForeignKeyConstraint(["screening_id"], ["screening.id"], name=op.f("fk_screening_hit_screening_id")),
        sa.PrimaryKeyConstraint("screening_id", "rank", name=op.f("pk_screening_hit")),
        sa.UniqueConstraint(
            "screening_id", "composition_id", name=op.f("uq_screening_hit_screening_id_composition_id")
        ),
    )
    op.create_index("ix_screening_hit_composition", "screening_hit", ["composition_id"])
