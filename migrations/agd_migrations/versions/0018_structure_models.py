"""Models of structures: what they learned from, what they are worth, and what they answer for a structure.

Revision ID: 0018
Revises: 0017
"""

from importlib import import_module

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_DEFENCE = import_module("agd_migrations.versions.0006_defence")
_STRUCTURES = import_module("agd_migrations.versions.0016_structures")

V_LABEL = """
CREATE OR REPLACE VIEW v_label AS
SELECT l.id AS label_id, c.reduced_formula, l.property, l.value, p.unit, l.uncertainty,
       CASE WHEN d.id IS NOT NULL THEN 'dataset' WHEN l.model_version_id IS NOT NULL THEN 'oracle'
            ELSE 'measurement' END AS source_kind,
       coalesce(d.name, m.plugin, e.operator) AS source,
       coalesce(d.source_sha256, m.tensors_sha256) AS source_sha256,
       coalesce(w.line, r.line) AS source_line, r.formula AS source_formula,
       e.measured_on, e.replicate, e.note,
       x.label_id IS NOT NULL AS is_retracted, x.reason AS retraction_reason, b.started_at AS retracted_at,
       a.kind AS activity, a.started_at, a.agd_version, a.host,
       l.composition_id, l.dataset_id, l.model_version_id, l.measurement_id, l.activity_id,
       t.name AS method, t.kind AS method_kind, t.fidelity,
       l.structure_id, w.entry AS source_entry, coalesce(d.correction_scheme, m.correction_scheme) AS correction_scheme
FROM label l
JOIN composition c ON c.id = l.composition_id
JOIN property p ON p.name = l.property
JOIN activity a ON a.id = l.activity_id
LEFT JOIN structure_row w ON w.id = l.structure_row_id
LEFT JOIN dataset d ON d.id = coalesce(l.dataset_id, w.dataset_id)
LEFT JOIN dataset_row r ON r.dataset_id = d.id AND r.composition_id = l.composition_id
LEFT JOIN model_version m ON m.id = l.model_version_id
LEFT JOIN measurement e ON e.id = l.measurement_id
JOIN method t ON t.name = CASE WHEN d.id IS NOT NULL THEN d.method
                               WHEN l.model_version_id IS NOT NULL THEN 'model' ELSE 'measured' END
LEFT JOIN retraction x ON x.label_id = l.id
LEFT JOIN activity b ON b.id = x.activity_id
"""

V_EVALUATION = """
CREATE OR REPLACE VIEW v_evaluation AS
SELECT m.kind, m.plugin, m.seed, m.tensors_sha256, e.metric, e.value, d.name AS dataset, e.n_rows,
       a.started_at AS evaluated_at, a.agd_version, a.host,
       e.model_version_id, e.dataset_id, m.training_set_id, e.activity_id, e.part
FROM (SELECT model_version_id, dataset_id, metric, value, n_rows, activity_id, 'all' AS part FROM evaluation
      UNION ALL SELECT model_version_id, dataset_id, metric, value, n_rows, activity_id, part
                FROM structure_evaluation) e
JOIN model_version m ON m.id = e.model_version_id
JOIN dataset d ON d.id = e.dataset_id
JOIN activity a ON a.id = e.activity_id
"""

V_TRAINING_LABEL = """
CREATE OR REPLACE VIEW v_training_label AS
SELECT m.id AS model_version_id, m.kind, m.plugin, m.tensors_sha256, q.is_held_out,
       c.reduced_formula, l.property, l.value, l.uncertainty,
       CASE WHEN d.id IS NOT NULL THEN 'dataset' WHEN l.model_version_id IS NOT NULL THEN 'oracle'
            ELSE 'measurement' END AS source_kind,
       d.name AS dataset, k.name AS campaign, first.iteration,
       t.id AS training_set_id, l.composition_id, l.id AS label_id, q.is_validation, l.structure_id
FROM model_version m
JOIN training_set t ON t.id = m.training_set_id
JOIN (SELECT training_set_id, label_id, is_held_out, is_validation FROM training_set_member
      UNION ALL SELECT training_set_id, label_id, is_held_out, is_validation FROM training_structure) q
     ON q.training_set_id = t.id
JOIN label l ON l.id = q.label_id
JOIN composition c ON c.id = l.composition_id
LEFT JOIN structure_row w ON w.id = l.structure_row_id
LEFT JOIN dataset d ON d.id = coalesce(l.dataset_id, w.dataset_id)
LEFT JOIN LATERAL (
    SELECT s.campaign_id, i.number AS iteration FROM (
        SELECT id FROM suggestion WHERE label_id = l.id
        UNION ALL SELECT suggestion_id FROM label_replacement WHERE label_id = l.id
    ) used
    JOIN suggestion s ON s.id = used.id
    JOIN training_set_campaign g ON g.training_set_id = t.id AND g.campaign_id = s.campaign_id
    JOIN iteration i ON i.id = s.iteration_id
    WHERE s.outcome = 'new' ORDER BY i.number LIMIT 1
) first ON true
LEFT JOIN campaign k ON k.id = first.campaign_id
"""

V_EVALUATION_0017 = """
CREATE OR REPLACE VIEW v_evaluation AS
SELECT m.kind, m.plugin, m.seed, m.tensors_sha256, e.metric, e.value, d.name AS dataset, e.n_rows,
       a.started_at AS evaluated_at, a.agd_version, a.host,
       e.model_version_id, e.dataset_id, m.training_set_id, e.activity_id
FROM evaluation e
JOIN model_version m ON m.id = e.model_version_id
JOIN dataset d ON d.id = e.dataset_id
JOIN activity a ON a.id = e.activity_id
"""

V_TRAINING_LABEL_0017 = """
CREATE OR REPLACE VIEW v_training_label AS
SELECT m.id AS model_version_id, m.kind, m.plugin, m.tensors_sha256, q.is_held_out,
       c.reduced_formula, l.property, l.value, l.uncertainty,
       CASE WHEN l.dataset_id IS NOT NULL THEN 'dataset' WHEN l.model_version_id IS NOT NULL THEN 'oracle'
            ELSE 'measurement' END AS source_kind,
       d.name AS dataset, k.name AS campaign, first.iteration,
       t.id AS training_set_id, l.composition_id, l.id AS label_id, q.is_validation
FROM model_version m
JOIN training_set t ON t.id = m.training_set_id
JOIN training_set_member q ON q.training_set_id = t.id
JOIN label l ON l.id = q.label_id
JOIN composition c ON c.id = q.composition_id
LEFT JOIN dataset d ON d.id = l.dataset_id
LEFT JOIN LATERAL (
    SELECT s.campaign_id, i.number AS iteration FROM (
        SELECT id FROM suggestion WHERE label_id = l.id
        UNION ALL SELECT suggestion_id FROM label_replacement WHERE label_id = l.id
    ) used
    JOIN suggestion s ON s.id = used.id
    JOIN training_set_campaign g ON g.training_set_id = t.id AND g.campaign_id = s.campaign_id
    JOIN iteration i ON i.id = s.iteration_id
    WHERE s.outcome = 'new' ORDER BY i.number LIMIT 1
) first ON true
LEFT JOIN campaign k ON k.id = first.campaign_id
"""

TABLES = ("training_structure", "structure_evaluation")

KEPT = {
    "training_structure": "structures that models learned from",
    "structure_evaluation": "what models of structures are worth",
    "label WHERE structure_id IS NOT NULL AND model_version_id IS NOT NULL": "answers of models for structures",
    "model_version WHERE kind = 'structure_oracle'": "models of structures",
}

_KINDS = "kind IN ('autoencoder', 'generator', 'oracle', 'screener')"
_KINDS_AND_STRUCTURES = "kind IN ('autoencoder', 'generator', 'oracle', 'screener', 'structure_oracle')"


def upgrade() -> None:
    _extend_models()
    _extend_labels()
    _create_tables()
    for table in TABLES:
        op.execute(
            f"CREATE TRIGGER defend_table BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION agd_defend()"
        )
        _DEFENCE._defend("defend_rows", "DELETE", table)  # noqa: SLF001  as every table of the record
        _DEFENCE._defend_values("defend_values", table)  # noqa: SLF001
    for view in (V_LABEL, V_EVALUATION, V_TRAINING_LABEL):
        op.execute(view)


def downgrade() -> None:
    """Go back; refused where that would lose what the revision before cannot hold."""
    for rows, what in KEPT.items():
        if op.get_bind().scalar(sa.text(f"SELECT EXISTS (SELECT FROM {rows})")):
            raise RuntimeError(
                f"revision {down_revision} has no place for {what}, and the record has some: nothing was changed"
            )
    for view in ("v_training_label", "v_evaluation"):
        op.execute(f"DROP VIEW {view}")
    for view in (_STRUCTURES.V_LABEL, V_EVALUATION_0017, V_TRAINING_LABEL_0017):
        op.execute(view)
    for table in reversed(TABLES):
        op.drop_table(table)
    op.drop_index("uq_label_model_version_structure", "label")
    op.drop_index("uq_label_model_version", "label")
    _create_index_of_answers("model_version_id IS NOT NULL")
    op.drop_constraint(op.f("uq_label_id_structure_id"), "label")
    op.drop_constraint(op.f("ck_label_structure_has_its_source"), "label")
    op.create_check_constraint(
        op.f("ck_label_structure_has_its_row"), "label", "(structure_row_id IS NULL) = (structure_id IS NULL)"
    )
    op.drop_constraint(op.f("fk_label_structure_id_composition_id"), "label")
    op.drop_constraint(op.f("ck_model_version_structures_have_a_method"), "model_version")
    op.drop_constraint(op.f("ck_model_version_kind_is_known"), "model_version")
    op.create_check_constraint(op.f("ck_model_version_kind_is_known"), "model_version", _KINDS)
    op.execute("DROP TRIGGER defend_values ON model_version")
    for column in ("correction_scheme", "learned_method"):
        op.drop_column("model_version", column)
    _DEFENCE._defend_values("defend_values", "model_version")  # noqa: SLF001


def _extend_models() -> None:
    op.add_column(
        "model_version",
        sa.Column(
            "learned_method",
            sa.Text(),
            nullable=True,
            comment="of the labels of structures that it learned from: all by one, with one correction scheme",
        ),
    )
    op.add_column(
        "model_version",
        sa.Column("correction_scheme", sa.Text(), nullable=True, comment="of its answers, as of these"),
    )
    op.create_foreign_key(
        op.f("fk_model_version_learned_method"), "model_version", "method", ["learned_method"], ["name"]
    )
    op.create_foreign_key(
        op.f("fk_model_version_correction_scheme"),
        "model_version",
        "correction_scheme",
        ["correction_scheme"],
        ["name"],
    )
    op.drop_constraint(op.f("ck_model_version_kind_is_known"), "model_version")
    op.create_check_constraint(op.f("ck_model_version_kind_is_known"), "model_version", _KINDS_AND_STRUCTURES)
    op.create_check_constraint(
        op.f("ck_model_version_structures_have_a_method"),
        "model_version",
        "num_nonnulls(learned_method, correction_scheme) = CASE kind WHEN 'structure_oracle' THEN 2 ELSE 0 END",
    )
    op.execute("DROP TRIGGER defend_values ON model_version")  # it knows the columns that were there when it was made
    _DEFENCE._defend_values("defend_values", "model_version")  # noqa: SLF001


def _extend_labels() -> None:
    op.create_foreign_key(
        op.f("fk_label_structure_id_composition_id"),
        "label",
        "structure",
        ["structure_id", "composition_id"],
        ["id", "composition_id"],
    )
    op.drop_constraint(op.f("ck_label_structure_has_its_row"), "label")
    op.create_check_constraint(
        op.f("ck_label_structure_has_its_source"),
        "label",
        "CASE WHEN structure_row_id IS NULL THEN structure_id IS NULL OR model_version_id IS NOT NULL"
        " ELSE structure_id IS NOT NULL END",
    )
    op.create_unique_constraint(op.f("uq_label_id_structure_id"), "label", ["id", "structure_id"])
    op.drop_index("uq_label_model_version", "label")
    _create_index_of_answers("model_version_id IS NOT NULL AND structure_id IS NULL")
    op.create_index(
        "uq_label_model_version_structure",
        "label",
        ["structure_id", "property", "model_version_id"],
        unique=True,
        postgresql_where=sa.text("model_version_id IS NOT NULL AND structure_id IS NOT NULL"),
    )


def _create_index_of_answers(where: str) -> None:
    op.create_index(
        "uq_label_model_version",
        "label",
        ["composition_id", "property", "model_version_id"],
        unique=True,
        postgresql_where=sa.text(where),
    )


def _create_tables() -> None:
    op.create_table(
        "training_structure",
        sa.Column("training_set_id", sa.BigInteger(), nullable=False),
        sa.Column("structure_id", sa.BigInteger(), nullable=False),
        sa.Column("label_id", sa.BigInteger(), nullable=False),
        sa.Column("is_held_out", sa.Boolean(), nullable=False, comment="all structures of a formula are, or none"),
        sa.Column("is_validation", sa.Boolean(), nullable=False, comment="chosen to stop the training by"),
        sa.CheckConstraint("NOT (is_held_out AND is_validation)", name=op.f("ck_training_structure_row_has_one_use")),
        sa.ForeignKeyConstraint(
            ["label_id", "structure_id"],
            ["label.id", "label.structure_id"],
            name=op.f("fk_training_structure_label_id_structure_id"),
        ),
        sa.ForeignKeyConstraint(
            ["training_set_id"], ["training_set.id"], name=op.f("fk_training_structure_training_set_id")
        ),
        sa.PrimaryKeyConstraint("training_set_id", "structure_id", name=op.f("pk_training_structure")),
    )
    op.create_index("ix_training_structure_label", "training_structure", ["label_id"])
    op.create_table(
        "structure_evaluation",
        sa.Column("model_version_id", sa.BigInteger(), nullable=False),
        sa.Column("dataset_id", sa.BigInteger(), nullable=False),
        sa.Column("part", sa.Text(), nullable=False, comment="of its training set that lies in the dataset"),
        sa.Column("metric", sa.Text(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("n_rows", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("activity_id", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "value > '-Infinity' AND value < 'Infinity'", name=op.f("ck_structure_evaluation_value_is_finite")
        ),
        sa.CheckConstraint("kind = 'structure_oracle'", name=op.f("ck_structure_evaluation_kind_is_of_structures")),
        sa.CheckConstraint("n_rows > 0", name=op.f("ck_structure_evaluation_n_rows_is_positive")),
        sa.CheckConstraint("part IN ('held_out', 'validation')", name=op.f("ck_structure_evaluation_part_is_known")),
        sa.ForeignKeyConstraint(["activity_id"], ["activity.id"], name=op.f("fk_structure_evaluation_activity_id")),
        sa.ForeignKeyConstraint(["dataset_id"], ["dataset.id"], name=op.f("fk_structure_evaluation_dataset_id")),
        sa.ForeignKeyConstraint(
            ["model_version_id", "kind"],
            ["model_version.id", "model_version.kind"],
            name=op.f("fk_structure_evaluation_model_version_id_kind"),
        ),
        sa.PrimaryKeyConstraint(
            "model_version_id", "dataset_id", "part", "metric", name=op.f("pk_structure_evaluation")
        ),
    )
