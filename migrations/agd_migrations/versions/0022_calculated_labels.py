"""Labels whose source is a calculation: gaps by first principles, of the structure that was computed.

Revision ID: 0022
Revises: 0021
"""

from importlib import import_module

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

_DEFENCE = import_module("agd_migrations.versions.0006_defence")
_MODELS = import_module("agd_migrations.versions.0018_structure_models")

V_LABEL = """
CREATE OR REPLACE VIEW v_label AS
SELECT l.id AS label_id, c.reduced_formula, l.property, l.value, p.unit, l.uncertainty,
       CASE WHEN d.id IS NOT NULL THEN 'dataset' WHEN l.model_version_id IS NOT NULL THEN 'oracle'
            WHEN l.calculation_id IS NOT NULL THEN 'calculation' ELSE 'measurement' END AS source_kind,
       coalesce(d.name, m.plugin, e.operator, q.engine) AS source,
       coalesce(d.source_sha256, m.tensors_sha256, q.sha256) AS source_sha256,
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
LEFT JOIN calculation k ON k.id = l.calculation_id
LEFT JOIN calculation_recipe q ON q.id = k.recipe_id
JOIN method t ON t.name = CASE WHEN d.id IS NOT NULL THEN d.method
                               WHEN l.model_version_id IS NOT NULL THEN 'model'
                               WHEN k.id IS NOT NULL THEN q.method ELSE 'measured' END
LEFT JOIN retraction x ON x.label_id = l.id
LEFT JOIN activity b ON b.id = x.activity_id
"""

V_CALCULATION_ATTEMPT = """
CREATE OR REPLACE VIEW v_calculation_attempt AS
SELECT k.reduced_formula, c.chemical_system, k.engine, k.method, k.kind, x.part, a.outcome,
       CASE a.outcome WHEN 'failed' THEN coalesce(x.outcome_class, 'program')
                      WHEN 'lost' THEN coalesce(x.outcome_class, 'cut off') END AS failure,
       a.error, a.error_class, x.corrections, a.host, a.cpu, x.n_cores, x.core_seconds, x.wall_seconds, x.memory_bytes,
       x.code_version, x.folder, a.started_at, a.ended_at, k.campaign, k.recipe_sha256, k.calculation_id,
       k.structure_id, k.composition_id, k.job_id, x.activity_id
FROM calculation_attempt x
JOIN activity a ON a.id = x.activity_id
JOIN v_calculation k ON k.calculation_id = x.calculation_id
JOIN composition c ON c.id = k.composition_id
"""

_ONE_SOURCE = "num_nonnulls(dataset_id, model_version_id, measurement_id, structure_row_id) = 1"
_ONE_SOURCE_OR_CALCULATED = (
    "num_nonnulls(dataset_id, model_version_id, measurement_id, structure_row_id, calculation_id) = 1"
)
_HAS_SOURCE = (
    "CASE WHEN structure_row_id IS NULL THEN structure_id IS NULL OR model_version_id IS NOT NULL"
    " ELSE structure_id IS NOT NULL END"
)
_HAS_SOURCE_OR_CALCULATED = (
    "CASE WHEN num_nonnulls(structure_row_id, calculation_id) = 0"
    " THEN structure_id IS NULL OR model_version_id IS NOT NULL ELSE structure_id IS NOT NULL END"
)


def upgrade() -> None:
    op.create_unique_constraint(op.f("uq_calculation_id_structure_id"), "calculation", ["id", "structure_id"])
    op.add_column(
        "label",
        sa.Column("calculation_id", sa.BigInteger(), nullable=True, comment="of that structure, by its own method"),
    )
    op.create_foreign_key(
        op.f("fk_label_calculation_id_structure_id"),
        "label",
        "calculation",
        ["calculation_id", "structure_id"],
        ["id", "structure_id"],
    )
    _check_sources(_ONE_SOURCE_OR_CALCULATED, _HAS_SOURCE_OR_CALCULATED)
    op.create_index(
        "uq_label_calculation",
        "label",
        ["calculation_id", "property"],
        unique=True,
        postgresql_where=sa.text("calculation_id IS NOT NULL"),
    )
    _defend_anew()
    for view in (V_LABEL, V_CALCULATION_ATTEMPT):
        op.execute(view)


def downgrade() -> None:
    """Go back; refused where that would lose what the revision before cannot hold."""
    if op.get_bind().scalar(sa.text("SELECT EXISTS (SELECT FROM label WHERE calculation_id IS NOT NULL)")):
        raise RuntimeError(
            f"revision {down_revision} has no place for labels of calculations, and the record has some: nothing was"
            " changed"
        )
    op.execute("DROP VIEW v_calculation_attempt")
    op.execute(_MODELS.V_LABEL)
    op.drop_index("uq_label_calculation", "label")
    _check_sources(_ONE_SOURCE, _HAS_SOURCE)
    op.execute("DROP TRIGGER defend_values ON label")
    op.drop_column("label", "calculation_id")
    _DEFENCE._defend_values("defend_values", "label")  # noqa: SLF001
    op.drop_constraint(op.f("uq_calculation_id_structure_id"), "calculation")


def _check_sources(one_source: str, has_source: str) -> None:
    for name, check in (("has_one_source", one_source), ("structure_has_its_source", has_source)):
        op.drop_constraint(op.f(f"ck_label_{name}"), "label")
        op.create_check_constraint(op.f(f"ck_label_{name}"), "label", check)


def _defend_anew() -> None:
    """The defence knows the columns that were there when it was made."""
    op.execute("DROP TRIGGER defend_values ON label")
    _DEFENCE._defend_values("defend_values", "label")  # noqa: SLF001  as every table of the record
