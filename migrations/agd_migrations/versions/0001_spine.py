"""The spine: campaigns, iterations, activities, datasets, compositions, labels, latents, suggestions, models.

Revision ID: 0001
Revises:
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# name, unit, physical lower bound, description
PROPERTIES = [
    ("band_gap", "eV", 0.0, "electronic band gap; zero for a metal"),
    ("formation_energy", "eV/atom", None, "formation energy from the elements"),
    ("e_above_hull", "eV/atom", 0.0, "energy above the convex hull of competing phases"),
    ("bulk_modulus", "GPa", 0.0, "bulk modulus, Voigt-Reuss-Hill average"),
    ("shear_modulus", "GPa", 0.0, "shear modulus, Voigt-Reuss-Hill average"),
    ("density", "g/cm3", 0.0, "mass density"),
    ("refractive_index", "1", 0.0, "refractive index, long-wave limit"),
]

V_LABEL = """
CREATE VIEW v_label AS
SELECT l.id AS label_id, c.reduced_formula, l.property, l.value, p.unit, l.uncertainty,
       CASE WHEN l.dataset_id IS NOT NULL THEN 'dataset' ELSE 'oracle' END AS source_kind,
       coalesce(d.name, m.plugin) AS source,
       coalesce(d.source_sha256, m.tensors_sha256) AS source_sha256,
       r.line AS source_line, r.formula AS source_formula,
       a.kind AS activity, a.started_at, a.agd_version, a.host,
       l.composition_id, l.dataset_id, l.model_version_id, l.activity_id
FROM label l
JOIN composition c ON c.id = l.composition_id
JOIN property p ON p.name = l.property
JOIN activity a ON a.id = l.activity_id
LEFT JOIN dataset d ON d.id = l.dataset_id
LEFT JOIN dataset_row r ON r.dataset_id = l.dataset_id AND r.composition_id = l.composition_id
LEFT JOIN model_version m ON m.id = l.model_version_id
"""

V_SUGGESTION = """
CREATE VIEW v_suggestion AS
SELECT k.name AS campaign, i.number AS iteration, s.rank, s.outcome, s.reason, f.reason AS decode_failure,
       c.reduced_formula, l.value, l.uncertainty, p.unit,
       (l.value >= coalesce(k.target_low, '-Infinity') AND l.value <= coalesce(k.target_high, 'Infinity')) AS is_find,
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
LEFT JOIN decode_failure f ON f.suggestion_id = s.id
"""

V_LINEAGE = """
CREATE VIEW v_lineage AS
SELECT 'composition' AS child_kind, composition_id AS child_id, 'suggested as' AS relation,
       'suggestion' AS parent_kind, id AS parent_id FROM suggestion WHERE composition_id IS NOT NULL
UNION ALL SELECT 'composition', composition_id, 'labelled', 'label', id FROM label
UNION ALL SELECT 'composition', composition_id, 'listed in', 'dataset', dataset_id FROM dataset_row
UNION ALL SELECT 'composition', composition_id, 'encoded as', 'latent', id FROM latent WHERE composition_id IS NOT NULL
UNION ALL SELECT 'suggestion', id, 'suggested in', 'iteration', iteration_id FROM suggestion
UNION ALL SELECT 'suggestion', id, 'at the point', 'latent', latent_id FROM suggestion
UNION ALL SELECT 'suggestion', id, 'labelled', 'label', label_id FROM suggestion WHERE label_id IS NOT NULL
UNION ALL SELECT 'iteration', id, 'of', 'campaign', campaign_id FROM iteration
UNION ALL SELECT 'campaign', campaign_id, role || ' set', 'training_set', training_set_id FROM campaign_set
UNION ALL SELECT 'campaign', campaign_id, role, 'model_version', model_version_id FROM campaign_model
UNION ALL SELECT 'latent', id, 'point of', 'model_version', model_version_id FROM latent
UNION ALL SELECT 'label', id, 'row of', 'dataset', dataset_id FROM label WHERE dataset_id IS NOT NULL
UNION ALL SELECT 'label', id, 'answered by', 'model_version', model_version_id
          FROM label WHERE model_version_id IS NOT NULL
UNION ALL SELECT 'model_version', id, 'trained on', 'training_set', training_set_id FROM model_version
UNION ALL SELECT 'training_set', training_set_id, 'drawn from', 'dataset', dataset_id FROM training_set_source
"""

_COUNTERS = """
       count(s.id) AS n_suggested,
       count(*) FILTER (WHERE s.outcome = 'undecodable') AS n_undecodable,
       count(*) FILTER (WHERE s.outcome <> 'undecodable') AS n_decodable,
       count(*) FILTER (WHERE s.outcome = 'duplicate') AS n_duplicate,
       count(*) FILTER (WHERE s.outcome = 'known') AS n_known,
       count(*) FILTER (WHERE s.outcome IN ('rejected', 'unanswered')) AS n_rejected,
       count(*) FILTER (WHERE s.outcome = 'new' AND s.label_id IS NOT NULL) AS n_new,
       count(*) FILTER (WHERE s.outcome = 'new' AND v.is_find) AS n_finds"""

V_ITERATION = f"""
CREATE VIEW v_iteration AS
SELECT k.name AS campaign, i.number AS iteration,{_COUNTERS},
       max(l.value) FILTER (WHERE s.outcome = 'new') AS highest,
       min(l.value) FILTER (WHERE s.outcome = 'new') AS lowest,
       EXISTS (SELECT FROM activity a WHERE a.iteration_id = i.id AND a.kind = 'record' AND a.outcome = 'done')
           AS is_recorded,
       i.id AS iteration_id, i.campaign_id
FROM iteration i
JOIN campaign k ON k.id = i.campaign_id
LEFT JOIN suggestion s ON s.iteration_id = i.id
LEFT JOIN label l ON l.id = s.label_id
LEFT JOIN LATERAL (SELECT l.value >= coalesce(k.target_low, '-Infinity')
                      AND l.value <= coalesce(k.target_high, 'Infinity') AS is_find) v ON true
GROUP BY k.id, i.id
"""

V_CAMPAIGN_PROGRESS = """
CREATE VIEW v_campaign_progress AS
SELECT k.name AS campaign, k.property, p.unit, k.target_low, k.target_high, k.budget_calls,
       count(*) FILTER (WHERE i.is_recorded) AS n_iterations,
       coalesce(sum(i.n_suggested), 0)::bigint AS n_suggested,
       coalesce(sum(i.n_undecodable), 0)::bigint AS n_undecodable,
       coalesce(sum(i.n_decodable), 0)::bigint AS n_decodable,
       coalesce(sum(i.n_duplicate), 0)::bigint AS n_duplicate,
       coalesce(sum(i.n_known), 0)::bigint AS n_known,
       coalesce(sum(i.n_rejected), 0)::bigint AS n_rejected,
       coalesce(sum(i.n_new), 0)::bigint AS n_new,
       coalesce(sum(i.n_finds), 0)::bigint AS n_finds,
       round(sum(i.n_finds) / nullif(sum(i.n_new), 0), 4) AS finds_per_call,
       max(i.highest) AS highest, min(i.lowest) AS lowest,
       k.created_at, k.stop_requested_at, k.ended_at, k.end_reason, k.id AS campaign_id
FROM campaign k
JOIN property p ON p.name = k.property
LEFT JOIN v_iteration i ON i.campaign_id = k.id
GROUP BY k.id, p.name
"""

# Natural keys and hex floats only: two databases that hold the same campaign give the same hash.
CONTENT_HASH = """
CREATE FUNCTION agd_content_hash_v1(campaign_name text) RETURNS text LANGUAGE sql STABLE AS $$
WITH k AS (SELECT * FROM campaign WHERE name = campaign_name),
source AS (
    SELECT l.id, l.composition_id,
           concat_ws(' ', l.property, encode(float8send(l.value), 'hex'),
                     coalesce(encode(float8send(l.uncertainty), 'hex'), '-'),
                     coalesce(d.recipe_sha256, m.tensors_sha256)) AS line
    FROM label l LEFT JOIN dataset d ON d.id = l.dataset_id LEFT JOIN model_version m ON m.id = l.model_version_id
    WHERE l.id IN (SELECT label_id FROM suggestion s JOIN k ON k.id = s.campaign_id)
       OR l.id IN (SELECT t.label_id FROM training_set_member t
                   JOIN campaign_set q USING (training_set_id) JOIN k ON k.id = q.campaign_id)
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
)
SELECT encode(sha256(convert_to(string_agg(line, E'\\n' ORDER BY line COLLATE "C"), 'UTF8')), 'hex') FROM line
$$
"""

VIEWS = {
    "v_label": V_LABEL,
    "v_suggestion": V_SUGGESTION,
    "v_lineage": V_LINEAGE,
    "v_iteration": V_ITERATION,
    "v_campaign_progress": V_CAMPAIGN_PROGRESS,
}


def upgrade() -> None:
    _create_tables()
    op.bulk_insert(
        sa.table("property", *(sa.column(name) for name in ("name", "unit", "lower_bound", "description"))),
        [dict(zip(("name", "unit", "lower_bound", "description"), row, strict=True)) for row in PROPERTIES],
    )
    for view in VIEWS.values():
        op.execute(view)
    op.execute(CONTENT_HASH)


def downgrade() -> None:
    op.execute("DROP FUNCTION agd_content_hash_v1(text)")
    for name in reversed(VIEWS):
        op.execute(f"DROP VIEW {name}")
    for name in reversed(TABLES):
        op.drop_table(name)


TABLES = [
    "property",
    "campaign",
    "iteration",
    "activity",
    "artifact",
    "composition",
    "dataset",
    "training_set",
    "campaign_set",
    "dataset_reject",
    "dataset_row",
    "model_version",
    "training_set_source",
    "verdict",
    "campaign_model",
    "label",
    "latent",
    "suggestion",
    "training_set_member",
    "decode_failure",
]


def _create_tables() -> None:
    op.create_table(
        "property",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column(
            "lower_bound",
            sa.Double(),
            nullable=True,
            comment="physical lower bound in the unit, NULL where there is none",
        ),
        sa.Column("description", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_property")),
    )
    op.create_table(
        "campaign",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column(
            "spec_sha256", sa.Text(), nullable=False, comment="of the resolved specification, referenced files included"
        ),
        sa.Column("spec", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("spec_text", sa.Text(), nullable=False, comment="the TOML file as it was given"),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("property", sa.Text(), nullable=False),
        sa.Column("target_low", sa.Double(), nullable=True, comment="a find has at least this value"),
        sa.Column("target_high", sa.Double(), nullable=True, comment="a find has at most this value"),
        sa.Column("budget_calls", sa.Integer(), nullable=False),
        sa.Column("agd_version", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("stop_requested_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("end_reason", sa.Text(), nullable=True),
        sa.CheckConstraint("(ended_at IS NULL) = (end_reason IS NULL)", name=op.f("ck_campaign_end_has_reason")),
        sa.CheckConstraint("num_nonnulls(target_low, target_high) > 0", name=op.f("ck_campaign_has_target")),
        sa.ForeignKeyConstraint(["property"], ["property.name"], name=op.f("fk_campaign_property")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_campaign")),
        sa.UniqueConstraint("name", name=op.f("uq_campaign_name")),
    )
    op.create_table(
        "iteration",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("campaign_id", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaign.id"], name=op.f("fk_iteration_campaign_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_iteration")),
        sa.UniqueConstraint("campaign_id", "number", name=op.f("uq_iteration_campaign_id_number")),
        sa.UniqueConstraint("id", "campaign_id", name=op.f("uq_iteration_id_campaign_id")),
    )
    op.create_table(
        "activity",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("campaign_id", sa.BigInteger(), nullable=True),
        sa.Column("iteration_id", sa.BigInteger(), nullable=True),
        sa.Column("seed", sa.BigInteger(), nullable=True),
        sa.Column("agd_version", sa.Text(), nullable=False),
        sa.Column("git_commit", sa.Text(), nullable=True),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("cpu", sa.Text(), nullable=False),
        sa.Column("threads", sa.Integer(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("fw_id", sa.BigInteger(), nullable=True),
        sa.Column("launch_id", sa.BigInteger(), nullable=True),
        sa.Column(
            "started_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("outcome", sa.Text(), server_default="running", nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.CheckConstraint("(outcome = 'running') = (ended_at IS NULL)", name=op.f("ck_activity_end_has_outcome")),
        sa.CheckConstraint(
            "outcome IN ('running', 'done', 'failed', 'lost')", name=op.f("ck_activity_outcome_is_known")
        ),
        sa.CheckConstraint(
            "iteration_id IS NULL OR campaign_id IS NOT NULL", name=op.f("ck_activity_iteration_has_campaign")
        ),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaign.id"], name=op.f("fk_activity_campaign_id")),
        sa.ForeignKeyConstraint(
            ["iteration_id", "campaign_id"],
            ["iteration.id", "iteration.campaign_id"],
            name=op.f("fk_activity_iteration_id_campaign_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_activity")),
    )
    op.create_index("ix_activity_campaign", "activity", ["campaign_id", "kind"], unique=False)
    op.create_index(
        "uq_activity_done_once",
        "activity",
        ["iteration_id", "kind"],
        unique=True,
        postgresql_where=sa.text("outcome = 'done'"),
    )
    op.create_table(
        "artifact",
        sa.Column(
            "sha256", sa.Text(), nullable=False, comment="of the file's bytes; the file lies under AGD_HOME/artifacts"
        ),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("n_bytes", sa.BigInteger(), nullable=False),
        sa.Column("activity_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["activity_id"], ["activity.id"], name=op.f("fk_artifact_activity_id")),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_artifact")),
    )
    op.create_table(
        "composition",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("reduced_formula", sa.Text(), nullable=False),
        sa.Column("chemical_system", sa.Text(), nullable=False),
        sa.Column("anonymous_formula", sa.Text(), nullable=False),
        sa.Column("n_elements", sa.Integer(), nullable=False),
        sa.Column("n_atoms", sa.Integer(), nullable=False),
        sa.Column("activity_id", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("n_elements BETWEEN 1 AND n_atoms", name=op.f("ck_composition_counts_are_consistent")),
        sa.ForeignKeyConstraint(["activity_id"], ["activity.id"], name=op.f("fk_composition_activity_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_composition")),
        sa.UniqueConstraint("reduced_formula", name=op.f("uq_composition_reduced_formula")),
    )
    op.create_index(op.f("ix_composition_chemical_system"), "composition", ["chemical_system"], unique=False)
    op.create_table(
        "dataset",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False, comment="file name as given; '-' for standard input"),
        sa.Column("source_sha256", sa.Text(), nullable=False),
        sa.Column("recipe_sha256", sa.Text(), nullable=False, comment="of source, columns, property and rules"),
        sa.Column("property", sa.Text(), nullable=True, comment="NULL for a list of formulas"),
        sa.Column("options", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("n_read", sa.Integer(), nullable=False),
        sa.Column("n_rejected", sa.Integer(), nullable=False),
        sa.Column("activity_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["activity_id"], ["activity.id"], name=op.f("fk_dataset_activity_id")),
        sa.ForeignKeyConstraint(["property"], ["property.name"], name=op.f("fk_dataset_property")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dataset")),
        sa.UniqueConstraint("id", "property", name=op.f("uq_dataset_id_property")),
        sa.UniqueConstraint("name", name=op.f("uq_dataset_name")),
        sa.UniqueConstraint("recipe_sha256", name=op.f("uq_dataset_recipe_sha256")),
    )
    op.create_table(
        "training_set",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False, comment="of its members by natural keys"),
        sa.Column("n_members", sa.Integer(), nullable=False),
        sa.Column("activity_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["activity_id"], ["activity.id"], name=op.f("fk_training_set_activity_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_training_set")),
        sa.UniqueConstraint("sha256", name=op.f("uq_training_set_sha256")),
    )
    op.create_table(
        "campaign_set",
        sa.Column("campaign_id", sa.BigInteger(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("training_set_id", sa.BigInteger(), nullable=False),
        sa.Column("activity_id", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("role IN ('initial', 'autoencoder', 'oracle')", name=op.f("ck_campaign_set_role_is_known")),
        sa.ForeignKeyConstraint(["activity_id"], ["activity.id"], name=op.f("fk_campaign_set_activity_id")),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaign.id"], name=op.f("fk_campaign_set_campaign_id")),
        sa.ForeignKeyConstraint(["training_set_id"], ["training_set.id"], name=op.f("fk_campaign_set_training_set_id")),
        sa.PrimaryKeyConstraint("campaign_id", "role", name=op.f("pk_campaign_set")),
    )
    op.create_table(
        "dataset_reject",
        sa.Column("dataset_id", sa.BigInteger(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("formula", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["dataset_id"], ["dataset.id"], name=op.f("fk_dataset_reject_dataset_id")),
        sa.PrimaryKeyConstraint("dataset_id", "line", name=op.f("pk_dataset_reject")),
    )
    op.create_table(
        "dataset_row",
        sa.Column("dataset_id", sa.BigInteger(), nullable=False),
        sa.Column("composition_id", sa.BigInteger(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False, comment="of the row that was kept"),
        sa.Column("formula", sa.Text(), nullable=False, comment="as the source spells it"),
        sa.Column("n_rows", sa.Integer(), nullable=False, comment="rows of the source with this composition"),
        sa.ForeignKeyConstraint(["composition_id"], ["composition.id"], name=op.f("fk_dataset_row_composition_id")),
        sa.ForeignKeyConstraint(["dataset_id"], ["dataset.id"], name=op.f("fk_dataset_row_dataset_id")),
        sa.PrimaryKeyConstraint("dataset_id", "composition_id", name=op.f("pk_dataset_row")),
    )
    op.create_index("ix_dataset_row_composition", "dataset_row", ["composition_id"], unique=False)
    op.create_table(
        "model_version",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("plugin", sa.Text(), nullable=False),
        sa.Column("property", sa.Text(), nullable=True, comment="what an oracle answers"),
        sa.Column("architecture_version", sa.Integer(), nullable=False),
        sa.Column("options", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("training_set_id", sa.BigInteger(), nullable=False),
        sa.Column("recipe_sha256", sa.Text(), nullable=False, comment="of everything above, by natural keys"),
        sa.Column("tensors_sha256", sa.Text(), nullable=False),
        sa.Column("metrics", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("activity_id", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "(kind = 'oracle') = (property IS NOT NULL)", name=op.f("ck_model_version_oracle_has_property")
        ),
        sa.CheckConstraint("kind IN ('autoencoder', 'oracle')", name=op.f("ck_model_version_kind_is_known")),
        sa.ForeignKeyConstraint(["activity_id"], ["activity.id"], name=op.f("fk_model_version_activity_id")),
        sa.ForeignKeyConstraint(["property"], ["property.name"], name=op.f("fk_model_version_property")),
        sa.ForeignKeyConstraint(["tensors_sha256"], ["artifact.sha256"], name=op.f("fk_model_version_tensors_sha256")),
        sa.ForeignKeyConstraint(
            ["training_set_id"], ["training_set.id"], name=op.f("fk_model_version_training_set_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model_version")),
        sa.UniqueConstraint("id", "property", name=op.f("uq_model_version_id_property")),
        sa.UniqueConstraint("recipe_sha256", name=op.f("uq_model_version_recipe_sha256")),
    )
    op.create_table(
        "training_set_source",
        sa.Column("training_set_id", sa.BigInteger(), nullable=False),
        sa.Column("dataset_id", sa.BigInteger(), nullable=False),
        sa.Column("n_members", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["dataset_id"], ["dataset.id"], name=op.f("fk_training_set_source_dataset_id")),
        sa.ForeignKeyConstraint(
            ["training_set_id"], ["training_set.id"], name=op.f("fk_training_set_source_training_set_id")
        ),
        sa.PrimaryKeyConstraint("training_set_id", "dataset_id", name=op.f("pk_training_set_source")),
    )
    op.create_table(
        "verdict",
        sa.Column("composition_id", sa.BigInteger(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("rule_version", sa.Integer(), nullable=False),
        sa.Column("is_charge_neutral", sa.Boolean(), nullable=True, comment="NULL where the rule does not speak"),
        sa.Column(
            "is_electronegativity_balanced", sa.Boolean(), nullable=True, comment="NULL where the rule does not speak"
        ),
        sa.Column("activity_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["activity_id"], ["activity.id"], name=op.f("fk_verdict_activity_id")),
        sa.ForeignKeyConstraint(["composition_id"], ["composition.id"], name=op.f("fk_verdict_composition_id")),
        sa.PrimaryKeyConstraint("composition_id", "rule", "rule_version", name=op.f("pk_verdict")),
    )
    op.create_table(
        "campaign_model",
        sa.Column("campaign_id", sa.BigInteger(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("model_version_id", sa.BigInteger(), nullable=False),
        sa.Column("activity_id", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("role IN ('autoencoder', 'oracle')", name=op.f("ck_campaign_model_role_is_known")),
        sa.ForeignKeyConstraint(["activity_id"], ["activity.id"], name=op.f("fk_campaign_model_activity_id")),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaign.id"], name=op.f("fk_campaign_model_campaign_id")),
        sa.ForeignKeyConstraint(
            ["model_version_id"], ["model_version.id"], name=op.f("fk_campaign_model_model_version_id")
        ),
        sa.PrimaryKeyConstraint("campaign_id", "role", name=op.f("pk_campaign_model")),
    )
    op.create_table(
        "label",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("composition_id", sa.BigInteger(), nullable=False),
        sa.Column("property", sa.Text(), nullable=False, comment="the one that the source speaks of"),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column(
            "uncertainty",
            sa.Double(),
            nullable=True,
            comment="one standard deviation, NULL where the source states none",
        ),
        sa.Column("dataset_id", sa.BigInteger(), nullable=True),
        sa.Column("model_version_id", sa.BigInteger(), nullable=True),
        sa.Column("activity_id", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "uncertainty >= 0 AND uncertainty < 'Infinity'", name=op.f("ck_label_uncertainty_is_finite")
        ),
        sa.CheckConstraint("value > '-Infinity' AND value < 'Infinity'", name=op.f("ck_label_value_is_finite")),
        sa.CheckConstraint("num_nonnulls(dataset_id, model_version_id) = 1", name=op.f("ck_label_has_one_source")),
        sa.ForeignKeyConstraint(["activity_id"], ["activity.id"], name=op.f("fk_label_activity_id")),
        sa.ForeignKeyConstraint(["composition_id"], ["composition.id"], name=op.f("fk_label_composition_id")),
        sa.ForeignKeyConstraint(
            ["dataset_id", "property"], ["dataset.id", "dataset.property"], name=op.f("fk_label_dataset_id_property")
        ),
        sa.ForeignKeyConstraint(
            ["model_version_id", "property"],
            ["model_version.id", "model_version.property"],
            name=op.f("fk_label_model_version_id_property"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_label")),
        sa.UniqueConstraint("id", "composition_id", name=op.f("uq_label_id_composition_id")),
    )
    op.create_index(
        "uq_label_dataset",
        "label",
        ["composition_id", "property", "dataset_id"],
        unique=True,
        postgresql_where=sa.text("dataset_id IS NOT NULL"),
    )
    op.create_index(
        "uq_label_model_version",
        "label",
        ["composition_id", "property", "model_version_id"],
        unique=True,
        postgresql_where=sa.text("model_version_id IS NOT NULL"),
    )
    op.create_table(
        "latent",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("model_version_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "composition_id", sa.BigInteger(), nullable=True, comment="what was encoded; NULL for a proposed point"
        ),
        sa.Column("vector", postgresql.ARRAY(sa.REAL(), dimensions=1), nullable=False),
        sa.Column("activity_id", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "array_ndims(vector) = 1 AND array_position(vector, NULL) IS NULL", name=op.f("ck_latent_vector_is_whole")
        ),
        sa.ForeignKeyConstraint(["activity_id"], ["activity.id"], name=op.f("fk_latent_activity_id")),
        sa.ForeignKeyConstraint(["composition_id"], ["composition.id"], name=op.f("fk_latent_composition_id")),
        sa.ForeignKeyConstraint(["model_version_id"], ["model_version.id"], name=op.f("fk_latent_model_version_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_latent")),
        sa.UniqueConstraint(
            "model_version_id", "composition_id", name=op.f("uq_latent_model_version_id_composition_id")
        ),
    )
    op.create_index(
        "ix_latent_composition",
        "latent",
        ["composition_id"],
        unique=False,
        postgresql_where=sa.text("composition_id IS NOT NULL"),
    )
    op.create_table(
        "suggestion",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("campaign_id", sa.BigInteger(), nullable=False),
        sa.Column("iteration_id", sa.BigInteger(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column(
            "proposed", sa.Text(), nullable=False, comment="what the sampler proposed: a latent point or a composition"
        ),
        sa.Column("latent_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "posterior_mean",
            sa.Double(),
            nullable=True,
            comment="in units of the objective, NULL where the sampler has none",
        ),
        sa.Column("posterior_sd", sa.Double(), nullable=True),
        sa.Column("acquisition", sa.Double(), nullable=True),
        sa.Column("activity_id", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=True, comment="NULL until decoded"),
        sa.Column("reason", sa.Text(), nullable=True, comment="why it was rejected or not answered"),
        sa.Column("composition_id", sa.BigInteger(), nullable=True),
        sa.Column("decode_activity_id", sa.BigInteger(), nullable=True),
        sa.Column("label_id", sa.BigInteger(), nullable=True),
        sa.Column("label_activity_id", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "(outcome IN ('rejected', 'unanswered')) = (reason IS NOT NULL)",
            name=op.f("ck_suggestion_refusal_has_reason"),
        ),
        sa.CheckConstraint(
            "label_id IS NULL OR (label_activity_id IS NOT NULL AND outcome IN ('new', 'duplicate', 'known'))",
            name=op.f("ck_suggestion_label_has_activity"),
        ),
        sa.CheckConstraint(
            "outcome IN ('new', 'duplicate', 'known', 'undecodable', 'rejected', 'unanswered')",
            name=op.f("ck_suggestion_outcome_is_known"),
        ),
        sa.CheckConstraint(
            "outcome IS NULL OR (outcome = 'undecodable') = (composition_id IS NULL)",
            name=op.f("ck_suggestion_decoded_has_composition"),
        ),
        sa.CheckConstraint("proposed IN ('latent', 'composition')", name=op.f("ck_suggestion_proposed_is_known")),
        sa.CheckConstraint(
            "(outcome IS NULL) = (decode_activity_id IS NULL)", name=op.f("ck_suggestion_outcome_has_activity")
        ),
        sa.ForeignKeyConstraint(["activity_id"], ["activity.id"], name=op.f("fk_suggestion_activity_id")),
        sa.ForeignKeyConstraint(["composition_id"], ["composition.id"], name=op.f("fk_suggestion_composition_id")),
        sa.ForeignKeyConstraint(["decode_activity_id"], ["activity.id"], name=op.f("fk_suggestion_decode_activity_id")),
        sa.ForeignKeyConstraint(
            ["iteration_id", "campaign_id"],
            ["iteration.id", "iteration.campaign_id"],
            name=op.f("fk_suggestion_iteration_id_campaign_id"),
        ),
        sa.ForeignKeyConstraint(["label_activity_id"], ["activity.id"], name=op.f("fk_suggestion_label_activity_id")),
        sa.ForeignKeyConstraint(
            ["label_id", "composition_id"],
            ["label.id", "label.composition_id"],
            name=op.f("fk_suggestion_label_id_composition_id"),
        ),
        sa.ForeignKeyConstraint(["latent_id"], ["latent.id"], name=op.f("fk_suggestion_latent_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_suggestion")),
        sa.UniqueConstraint("iteration_id", "rank", name=op.f("uq_suggestion_iteration_id_rank")),
    )
    op.create_index("ix_suggestion_composition", "suggestion", ["composition_id"], unique=False)
    op.create_index("ix_suggestion_label", "suggestion", ["label_id"], unique=False)
    op.create_index(
        "uq_suggestion_new_once",
        "suggestion",
        ["campaign_id", "composition_id"],
        unique=True,
        postgresql_where=sa.text("outcome = 'new'"),
    )
    op.create_table(
        "training_set_member",
        sa.Column("training_set_id", sa.BigInteger(), nullable=False),
        sa.Column("composition_id", sa.BigInteger(), nullable=False),
        sa.Column("label_id", sa.BigInteger(), nullable=True, comment="NULL in a set of compositions alone"),
        sa.Column("is_held_out", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["composition_id"], ["composition.id"], name=op.f("fk_training_set_member_composition_id")
        ),
        sa.ForeignKeyConstraint(
            ["label_id", "composition_id"],
            ["label.id", "label.composition_id"],
            name=op.f("fk_training_set_member_label_id_composition_id"),
        ),
        sa.ForeignKeyConstraint(
            ["training_set_id"], ["training_set.id"], name=op.f("fk_training_set_member_training_set_id")
        ),
        sa.PrimaryKeyConstraint("training_set_id", "composition_id", name=op.f("pk_training_set_member")),
    )
    op.create_index("ix_training_set_member_composition", "training_set_member", ["composition_id"], unique=False)
    op.create_table(
        "decode_failure",
        sa.Column("suggestion_id", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("activity_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["activity_id"], ["activity.id"], name=op.f("fk_decode_failure_activity_id")),
        sa.ForeignKeyConstraint(["suggestion_id"], ["suggestion.id"], name=op.f("fk_decode_failure_suggestion_id")),
        sa.PrimaryKeyConstraint("suggestion_id", name=op.f("pk_decode_failure")),
    )
