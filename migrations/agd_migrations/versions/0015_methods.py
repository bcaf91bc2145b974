"""A label says by which method it came about, a model whose answers it takes, and a find how sure it is.

Revision ID: 0015
Revises: 0014
"""

from importlib import import_module

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_COMPLETED = import_module("agd_migrations.versions.0002_campaign_completed")
_DEFENCE = import_module("agd_migrations.versions.0006_defence")
_PROPERTIES = import_module("agd_migrations.versions.0014_properties")

V_LABEL = """
CREATE OR REPLACE VIEW v_label AS
SELECT l.id AS label_id, c.reduced_formula, l.property, l.value, p.unit, l.uncertainty,
       CASE WHEN l.dataset_id IS NOT NULL THEN 'dataset' WHEN l.model_version_id IS NOT NULL THEN 'oracle'
            ELSE 'measurement' END AS source_kind,
       coalesce(d.name, m.plugin, e.operator) AS source,
       coalesce(d.source_sha256, m.tensors_sha256) AS source_sha256,
       r.line AS source_line, r.formula AS source_formula,
       e.measured_on, e.replicate, e.note,
       x.label_id IS NOT NULL AS is_retracted, x.reason AS retraction_reason, b.started_at AS retracted_at,
       a.kind AS activity, a.started_at, a.agd_version, a.host,
       l.composition_id, l.dataset_id, l.model_version_id, l.measurement_id, l.activity_id,
       t.name AS method, t.kind AS method_kind, t.fidelity
FROM label l
JOIN composition c ON c.id = l.composition_id
JOIN property p ON p.name = l.property
JOIN activity a ON a.id = l.activity_id
LEFT JOIN dataset d ON d.id = l.dataset_id
LEFT JOIN dataset_row r ON r.dataset_id = l.dataset_id AND r.composition_id = l.composition_id
LEFT JOIN model_version m ON m.id = l.model_version_id
LEFT JOIN measurement e ON e.id = l.measurement_id
JOIN method t ON t.name = CASE WHEN l.dataset_id IS NOT NULL THEN d.method
                               WHEN l.model_version_id IS NOT NULL THEN 'model' ELSE 'measured' END
LEFT JOIN retraction x ON x.label_id = l.id
LEFT JOIN activity b ON b.id = x.activity_id
"""

V_LABEL_BEST = """
CREATE OR REPLACE VIEW v_label_best AS
SELECT DISTINCT ON (composition_id, property) composition_id, property, label_id, reduced_formula, value, unit,
       uncertainty, method, method_kind, fidelity, source_kind, source, started_at
FROM v_label
WHERE NOT is_retracted AND agd_is_plausible(property, value)
ORDER BY composition_id, property, fidelity DESC, label_id DESC
"""

V_LINEAGE = """
CREATE OR REPLACE VIEW v_lineage AS
SELECT 'composition' AS child_kind, composition_id AS child_id, 'suggested as' AS relation,
       'suggestion' AS parent_kind, id AS parent_id FROM suggestion WHERE composition_id IS NOT NULL
UNION ALL SELECT 'composition', composition_id, 'labelled', 'label', id FROM label
UNION ALL SELECT 'composition', composition_id, 'listed in', 'dataset', dataset_id FROM dataset_row
UNION ALL SELECT 'composition', composition_id, 'encoded as', 'latent', id FROM latent WHERE composition_id IS NOT NULL
UNION ALL SELECT 'composition', composition_id, 'picked in', 'screening', screening_id FROM screening_hit
UNION ALL SELECT 'screening', id, 'of', 'campaign', campaign_id FROM screening WHERE campaign_id IS NOT NULL
UNION ALL SELECT 'screening', id, 'picked by', 'model_version', model_version_id FROM screening
UNION ALL SELECT 'screening', id, 'picked from', 'dataset', dataset_id FROM screening WHERE dataset_id IS NOT NULL
UNION ALL SELECT 'suggestion', id, 'suggested in', 'iteration', iteration_id FROM suggestion
UNION ALL SELECT 'suggestion', id, 'at the point', 'latent', latent_id FROM suggestion WHERE latent_id IS NOT NULL
UNION ALL SELECT 'suggestion', suggestion_id, 'child of', 'composition', composition_id FROM suggestion_parent
UNION ALL SELECT 'suggestion', id, 'labelled', 'label', label_id FROM suggestion WHERE label_id IS NOT NULL
UNION ALL SELECT 'suggestion', suggestion_id, 'labelled', 'label', label_id FROM suggestion_label
UNION ALL SELECT 'iteration', id, 'of', 'campaign', campaign_id FROM iteration
UNION ALL SELECT 'campaign', id, 'control of', 'campaign', twin_of_id FROM campaign WHERE twin_of_id IS NOT NULL
UNION ALL SELECT 'campaign', campaign_id, role || ' set', 'training_set', training_set_id FROM campaign_set
UNION ALL SELECT 'campaign', campaign_id, role, 'model_version', model_version_id FROM campaign_model
UNION ALL SELECT 'latent', id, 'point of', 'model_version', model_version_id FROM latent
UNION ALL SELECT 'label', id, 'row of', 'dataset', dataset_id FROM label WHERE dataset_id IS NOT NULL
UNION ALL SELECT 'label', id, 'answered by', 'model_version', model_version_id
          FROM label WHERE model_version_id IS NOT NULL
UNION ALL SELECT 'label', id, 'measured in', 'measurement', measurement_id FROM label WHERE measurement_id IS NOT NULL
UNION ALL SELECT 'model_version', id, 'takes answers of', 'model_version', input_model_version_id
          FROM model_version WHERE input_model_version_id IS NOT NULL
UNION ALL SELECT 'model_version', id, 'trained on', 'training_set', training_set_id FROM model_version
UNION ALL SELECT 'training_set', training_set_id, 'drawn from', 'dataset', dataset_id FROM training_set_source
UNION ALL SELECT 'training_set', training_set_id, 'drawn from', 'campaign', campaign_id FROM training_set_campaign
UNION ALL SELECT 'dataset', dataset_id, 'generated by', 'model_version', model_version_id FROM generation
UNION ALL SELECT 'campaign', campaign_id, 'draws from', 'dataset', dataset_id FROM campaign_pool
UNION ALL SELECT 'campaign', campaign_id, 'takes for known', 'dataset', dataset_id FROM campaign_known
UNION ALL SELECT 'suggestion', suggestion_id, 'labelled anew', 'label', label_id FROM label_replacement
"""

AMOUNTS = r"""
CREATE OR REPLACE FUNCTION agd_amounts(reduced_formula text) RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
SELECT CASE WHEN position('(' IN $1) = 0 THEN string_to_array(regexp_replace($1, '(?!^)([A-Z])', ',\1', 'g'), ',')
    ELSE (SELECT array_agg(atom[1] || coalesce(nullif(n.atoms, 1)::text, '') ORDER BY part.place, atom.place)
          FROM regexp_matches($1, '\(([^)]*)\)(\d*)|([A-Z][a-z]?\d*)', 'g') WITH ORDINALITY AS part (part, place),
               regexp_matches(coalesce(part[1], part[3]), '([A-Z][a-z]?)(\d*)', 'g')
                   WITH ORDINALITY AS atom (atom, place),
               LATERAL (SELECT coalesce(nullif(atom[2], ''), '1')::bigint * coalesce(nullif(part[2], ''), '1')::bigint)
                   AS n (atoms)) END
$$
"""

ANALOGUE = """
CREATE OR REPLACE FUNCTION agd_analogue(of_campaign bigint, of_composition bigint) RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
DECLARE
    atoms text[];
    elements text[];
    anonymous text;
    patterns text[];
    known bigint[];
BEGIN
    SELECT agd_amounts(c.reduced_formula), string_to_array(c.chemical_system, '-'), c.anonymous_formula
    INTO atoms, elements, anonymous FROM composition c WHERE c.id = of_composition AND c.n_elements > 1;
    patterns := array(SELECT '%' || array_to_string(array_remove(elements, gone), '%') || '%'
                      FROM unnest(elements) AS gone);
    known := array(SELECT d.dataset_id FROM v_known_dataset d WHERE d.campaign_id = of_campaign);
    RETURN (SELECT min(k.reduced_formula COLLATE "C") FROM composition k
            WHERE k.anonymous_formula = anonymous AND k.chemical_system LIKE ANY (patterns)
              AND (SELECT count(*) FROM unnest(agd_amounts(k.reduced_formula)) AS a WHERE a = ANY (atoms))
                  = cardinality(atoms) - 1
              AND EXISTS (SELECT FROM dataset_row r WHERE r.composition_id = k.id AND r.dataset_id = ANY (known)));
END
$$
"""

V_SURENESS = """
CREATE OR REPLACE VIEW v_sureness AS
SELECT s.suggestion_id, s.campaign_id, s.composition_id, b.mean, b.uncertainty, b.mean - b.uncertainty AS lower_bound,
       CASE WHEN s.composition_id IS NULL OR q.reference IS NULL THEN NULL WHEN s.is_known THEN 'known formula'
            WHEN n.analogue IS NULL THEN 'new family' ELSE 'one substitution' END AS novelty,
       n.analogue, q.reference
FROM v_suggestion_judged s
CROSS JOIN LATERAL (SELECT CASE WHEN NOT s.is_retracted THEN s.value END AS mean,
                           CASE WHEN NOT s.is_retracted THEN s.uncertainty END AS uncertainty) b
CROSS JOIN LATERAL (
    SELECT CASE WHEN NOT s.is_known THEN agd_analogue(s.campaign_id, s.composition_id) END AS analogue OFFSET 0) n
LEFT JOIN (SELECT k.campaign_id, string_agg(d.name || ' of ' || to_char(a.started_at, 'YYYY-MM-DD'), ', '
                                            ORDER BY d.name COLLATE "C") AS reference
           FROM v_known_dataset k JOIN dataset d ON d.id = k.dataset_id JOIN activity a ON a.id = d.activity_id
           GROUP BY k.campaign_id) q ON q.campaign_id = s.campaign_id
"""

METHODS = (
    ("measured", "measured", 400, "measured in a laboratory"),
    ("dft-hse06", "dft", 320, "density functional theory, hybrid functional HSE06"),
    ("dft-r2scan", "dft", 310, "density functional theory, meta-GGA functional r2SCAN"),
    ("dft-pbe", "dft", 300, "density functional theory, GGA functional PBE, with or without U"),
    ("potential", "potential", 200, "an interatomic potential"),
    ("unstated", "unstated", 150, "whoever imported the values did not say"),
    ("model", "model", 100, "answered by a model that learned from labels"),
)

KEPT = {
    "method WHERE activity_id IS NOT NULL": "methods of your own",
    "dataset WHERE method <> 'unstated'": "methods of datasets",
    "model_version WHERE input_model_version_id IS NOT NULL": "models that take answers of others",
}


def upgrade() -> None:
    method = op.create_table(
        "method",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column(
            "fidelity", sa.Integer(), nullable=False, comment="a label of the higher one is shown before the others"
        ),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("activity_id", sa.BigInteger(), nullable=True, comment="NULL for those that come with the schema"),
        sa.CheckConstraint("name <> ''", name=op.f("ck_method_method_is_named")),
        sa.CheckConstraint(
            "kind IN ('measured', 'dft', 'potential', 'unstated', 'model')", name=op.f("ck_method_kind_is_known")
        ),
        sa.CheckConstraint("fidelity > 0", name=op.f("ck_method_fidelity_is_positive")),
        sa.ForeignKeyConstraint(["activity_id"], ["activity.id"], name=op.f("fk_method_activity_id")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_method")),
    )
    op.bulk_insert(
        method, [dict(zip(("name", "kind", "fidelity", "description"), row, strict=True)) for row in METHODS]
    )
    op.execute("CREATE TRIGGER defend_table BEFORE TRUNCATE ON method FOR EACH STATEMENT EXECUTE FUNCTION agd_defend()")
    _DEFENCE._defend("defend_rows", "DELETE", "method")  # noqa: SLF001  as every table of the record
    _DEFENCE._defend_values("defend_values", "method")  # noqa: SLF001
    op.add_column(
        "dataset",
        sa.Column(
            "method", sa.Text(), nullable=False, server_default="unstated", comment="by which its values came about"
        ),
    )
    op.create_foreign_key(op.f("fk_dataset_method"), "dataset", "method", ["method"], ["name"])
    op.create_check_constraint(
        op.f("ck_dataset_formulas_have_no_method"), "dataset", "property IS NOT NULL OR method = 'unstated'"
    )
    op.add_column(
        "model_version",
        sa.Column(
            "input_model_version_id",
            sa.BigInteger(),
            nullable=True,
            comment="the model whose answers it takes beside the composition",
        ),
    )
    op.create_foreign_key(
        op.f("fk_model_version_input_model_version_id"),
        "model_version",
        "model_version",
        ["input_model_version_id"],
        ["id"],
    )
    op.create_check_constraint(
        op.f("ck_model_version_input_is_another"),
        "model_version",
        "input_model_version_id IS NULL OR (input_model_version_id <> id AND property IS NOT NULL)",
    )
    op.create_index("ix_composition_anonymous_formula", "composition", ["anonymous_formula"])
    for table in ("dataset", "model_version"):
        _defend_anew(table)
    for definition in (V_LABEL, V_LABEL_BEST, V_LINEAGE, AMOUNTS, ANALOGUE, V_SURENESS):
        op.execute(definition)


def downgrade() -> None:
    """Go back; refused where that would lose what the revision before cannot hold."""
    for rows, what in KEPT.items():
        if op.get_bind().scalar(sa.text(f"SELECT EXISTS (SELECT FROM {rows})")):
            raise RuntimeError(
                f"revision {down_revision} has no place for {what}, and the record has some: nothing was changed"
            )
    for view in ("v_sureness", "v_label_best", "v_label"):
        op.execute(f"DROP VIEW {view}")
    op.execute(_COMPLETED.V_LABEL)
    op.execute(_PROPERTIES.V_LINEAGE)
    for function in ("agd_analogue(bigint, bigint)", "agd_amounts(text)"):
        op.execute(f"DROP FUNCTION {function}")
    op.drop_index("ix_composition_anonymous_formula", "composition")
    for table, column in (("dataset", "method"), ("model_version", "input_model_version_id")):
        op.execute(f"DROP TRIGGER defend_values ON {table}")
        op.drop_column(table, column)
        _DEFENCE._defend_values("defend_values", table)  # noqa: SLF001
    op.drop_table("method")


def _defend_anew(table: str) -> None:
    """The defence knows the columns that were there when it was made."""
    op.execute(f"DROP TRIGGER defend_values ON {table}")
    _DEFENCE._defend_values("defend_values", table)  # noqa: SLF001
