"""Crystal structures, the rows of datasets that have them, and labels of a structure.

Revision ID: 0016
Revises: 0015
"""

from importlib import import_module

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, REAL

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_DEFENCE = import_module("agd_migrations.versions.0006_defence")
_METHODS = import_module("agd_migrations.versions.0015_methods")
_HASHES = import_module("agd_migrations.versions.0007_hashes")

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
       l.structure_id, w.entry AS source_entry, d.correction_scheme
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

V_LABEL_BEST = """
CREATE OR REPLACE VIEW v_label_best AS
SELECT DISTINCT ON (composition_id, property) composition_id, property, label_id, reduced_formula, value, unit,
       uncertainty, method, method_kind, fidelity, source_kind, source, started_at
FROM v_label
WHERE structure_id IS NULL AND NOT is_retracted AND agd_is_plausible(property, value)
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
UNION ALL SELECT 'label', l.id, 'row of', 'dataset', r.dataset_id
          FROM label l JOIN structure_row r ON r.id = l.structure_row_id
UNION ALL SELECT 'label', id, 'of', 'structure', structure_id FROM label WHERE structure_id IS NOT NULL
UNION ALL SELECT 'structure', structure_id, 'listed in', 'dataset', dataset_id FROM structure_row
UNION ALL SELECT 'composition', composition_id, 'has', 'structure', id FROM structure
UNION ALL SELECT 'suggestion', suggestion_id, 'labelled anew', 'label', label_id FROM label_replacement
"""

V_STRUCTURE = """
CREATE OR REPLACE VIEW v_structure AS
SELECT s.id AS structure_id, c.reduced_formula, c.chemical_system, s.n_sites, s.space_group, d.name AS dataset, r.entry,
       r.line, r.is_experimental, e.value AS formation_energy, g.value AS band_gap, d.method, d.correction_scheme,
       s.cell_sha256, s.composition_id, r.dataset_id, r.id AS structure_row_id
FROM structure_row r
JOIN structure s ON s.id = r.structure_id
JOIN composition c ON c.id = s.composition_id
JOIN dataset d ON d.id = r.dataset_id
LEFT JOIN label e ON e.structure_row_id = r.id AND e.property = 'formation_energy'
     AND NOT EXISTS (SELECT FROM retraction x WHERE x.label_id = e.id)
LEFT JOIN label g ON g.structure_row_id = r.id AND g.property = 'band_gap'
     AND NOT EXISTS (SELECT FROM retraction x WHERE x.label_id = g.id)
"""

DATASET_HASH = r"""
CREATE OR REPLACE FUNCTION agd_dataset_hash_v1(of_dataset bigint) RETURNS text LANGUAGE sql STABLE AS $$
WITH block AS (
    SELECT 0 AS part, 0 AS block, json_build_array(source_sha256, recipe_sha256, property, options, n_read,
           n_rejected)::text AS hash FROM dataset WHERE id = $1
    UNION ALL
    SELECT 1, r.line / 10000, encode(sha256(convert_to(string_agg(json_build_array(r.line, c.reduced_formula, r.formula,
           r.n_rows, l.property, encode(float8send(l.value), 'hex'), encode(float8send(l.uncertainty), 'hex'))::text,
           E'\n' ORDER BY r.line, c.reduced_formula COLLATE "C"), 'UTF8')), 'hex')
    FROM (SELECT * FROM dataset_row WHERE dataset_id = $1) r
    FULL JOIN (SELECT * FROM label WHERE dataset_id = $1) l USING (composition_id)
    JOIN composition c ON c.id = composition_id GROUP BY 2
    UNION ALL
    SELECT 2, line / 10000, encode(sha256(convert_to(string_agg(json_build_array(line, kind, formula, value,
           message)::text, E'\n' ORDER BY line), 'UTF8')), 'hex')
    FROM dataset_reject WHERE dataset_id = $1 GROUP BY 2
    UNION ALL
    SELECT 3, 0, json_build_array(m.tensors_sha256, g.seed, g.first_sample, g.n_samples)::text
    FROM generation g JOIN model_version m ON m.id = g.model_version_id WHERE g.dataset_id = $1
    UNION ALL
    SELECT 4, r.line / 10000, encode(sha256(convert_to(string_agg(json_build_array(r.line, r.entry, s.cell_sha256,
           r.is_experimental, (SELECT json_agg(json_build_array(l.property, encode(float8send(l.value), 'hex'))
                               ORDER BY l.property COLLATE "C") FROM label l WHERE l.structure_row_id = r.id))::text,
           E'\n' ORDER BY r.line, r.entry COLLATE "C"), 'UTF8')), 'hex')
    FROM structure_row r JOIN structure s ON s.id = r.structure_id WHERE r.dataset_id = $1 GROUP BY 2
)
SELECT encode(sha256(convert_to(string_agg(json_build_array(part, block, hash)::text, E'\n' ORDER BY part, block),
              'UTF8')), 'hex') FROM block
$$
"""

SCHEMES = (
    ("none", "as the method gives them"),
    ("mp2018", "Materials Project's corrections up to 2020"),
    ("mp2020", "Materials Project's corrections since 2020, doi:10.1038/s41598-021-94550-5"),
    ("unstated", "whoever imported the values did not say"),
)

TABLES = ("correction_scheme", "structure", "structure_row")

_ONE_SOURCE = "num_nonnulls(dataset_id, model_version_id, measurement_id) = 1"
_ONE_SOURCE_OR_STRUCTURE = "num_nonnulls(dataset_id, model_version_id, measurement_id, structure_row_id) = 1"


def upgrade() -> None:
    _create_tables()
    _extend_tables()
    for table in TABLES:
        op.execute(
            f"CREATE TRIGGER defend_table BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION agd_defend()"
        )
        _DEFENCE._defend("defend_rows", "DELETE", table)  # noqa: SLF001  as every table of the record
        _DEFENCE._defend_values("defend_values", table)  # noqa: SLF001
    for table in ("dataset", "label"):
        _defend_anew(table)
    for definition in (V_LABEL, V_LABEL_BEST, V_LINEAGE, V_STRUCTURE, DATASET_HASH):
        op.execute(definition)


def downgrade() -> None:
    """Go back; refused where that would lose what the revision before cannot hold."""
    kept = {
        "label WHERE structure_id IS NOT NULL": "labels of structures",
        "structure_row": "rows of datasets with structures",
        "structure": "structures",
        "dataset WHERE correction_scheme <> 'unstated'": "correction schemes of datasets",
    }
    for rows, what in kept.items():
        if op.get_bind().scalar(sa.text(f"SELECT EXISTS (SELECT FROM {rows})")):
            raise RuntimeError(
                f"revision {down_revision} has no place for {what}, and the record has some: nothing was changed"
            )
    for view in ("v_structure", "v_label_best", "v_label"):
        op.execute(f"DROP VIEW {view}")
    for definition in (_METHODS.V_LABEL, _METHODS.V_LABEL_BEST, _METHODS.V_LINEAGE, _HASHES.DATASET_HASH):
        op.execute(definition.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION", 1))
    op.drop_constraint(op.f("ck_label_has_one_source"), "label")
    op.drop_constraint(op.f("fk_label_property"), "label")
    for table, columns in (("dataset", ("correction_scheme",)), ("label", ("structure_row_id", "structure_id"))):
        op.execute(f"DROP TRIGGER defend_values ON {table}")
        for column in columns:
            op.drop_column(table, column)
        _DEFENCE._defend_values("defend_values", table)  # noqa: SLF001
    op.create_check_constraint(op.f("ck_label_has_one_source"), "label", _ONE_SOURCE)
    op.drop_constraint(op.f("ck_dataset_formulas_have_no_method"), "dataset")
    op.create_check_constraint(
        op.f("ck_dataset_formulas_have_no_method"), "dataset", "property IS NOT NULL OR method = 'unstated'"
    )
    for table in reversed(TABLES):
        op.drop_table(table)


def _create_tables() -> None:
    scheme = op.create_table(
        "correction_scheme",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.CheckConstraint("name <> ''", name=op.f("ck_correction_scheme_scheme_is_named")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_correction_scheme")),
    )
    op.bulk_insert(scheme, [dict(zip(("name", "description"), row, strict=True)) for row in SCHEMES])
    op.create_table(
        "structure",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("composition_id", sa.BigInteger(), nullable=False),
        sa.Column("cell_sha256", sa.Text(), nullable=False, comment="of the cell's numbers"),
        sa.Column("n_sites", sa.Integer(), nullable=False, comment="of the primitive cell"),
        sa.Column("space_group", sa.SmallInteger(), nullable=False, comment="its number, from 1 to 230"),
        sa.Column("lattice", ARRAY(REAL()), nullable=False, comment="three vectors in Å, one after the other"),
        sa.Column("atomic_numbers", ARRAY(sa.SmallInteger()), nullable=False, comment="of the sites"),
        sa.Column("frac", ARRAY(REAL()), nullable=False, comment="places of the sites, in fractions of the vectors"),
        sa.Column("activity_id", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("space_group BETWEEN 1 AND 230", name=op.f("ck_structure_space_group_is_one")),
        sa.CheckConstraint(
            "cardinality(lattice) = 9 AND cardinality(atomic_numbers) = n_sites AND cardinality(frac) = 3 * n_sites"
            " AND n_sites > 0",
            name=op.f("ck_structure_arrays_fit"),
        ),
        sa.ForeignKeyConstraint(["activity_id"], ["activity.id"], name=op.f("fk_structure_activity_id")),
        sa.ForeignKeyConstraint(["composition_id"], ["composition.id"], name=op.f("fk_structure_composition_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_structure")),
        sa.UniqueConstraint("cell_sha256", name=op.f("uq_structure_cell_sha256")),
        sa.UniqueConstraint("id", "composition_id", name=op.f("uq_structure_id_composition_id")),
    )
    op.create_index("ix_structure_composition", "structure", ["composition_id"])
    op.create_table(
        "structure_row",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("dataset_id", sa.BigInteger(), nullable=False),
        sa.Column("entry", sa.Text(), nullable=False, comment="its own name"),
        sa.Column("line", sa.Integer(), nullable=False, comment="counted through all files of the source"),
        sa.Column("structure_id", sa.BigInteger(), nullable=False),
        sa.Column("composition_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "is_experimental",
            sa.Boolean(),
            nullable=True,
            comment="whether it was ever made; NULL where the source does not say",
        ),
        sa.CheckConstraint("entry <> ''", name=op.f("ck_structure_row_entry_is_named")),
        sa.ForeignKeyConstraint(["dataset_id"], ["dataset.id"], name=op.f("fk_structure_row_dataset_id")),
        sa.ForeignKeyConstraint(
            ["structure_id", "composition_id"],
            ["structure.id", "structure.composition_id"],
            name=op.f("fk_structure_row_structure_id_composition_id"),
        ),
        sa.ForeignKeyConstraint(
            ["dataset_id", "composition_id"],
            ["dataset_row.dataset_id", "dataset_row.composition_id"],
            name=op.f("fk_structure_row_dataset_id_composition_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_structure_row")),
        sa.UniqueConstraint("dataset_id", "entry", name=op.f("uq_structure_row_dataset_id_entry")),
        sa.UniqueConstraint(
            "id", "structure_id", "composition_id", name=op.f("uq_structure_row_id_structure_id_composition_id")
        ),
    )
    op.create_index("ix_structure_row_structure", "structure_row", ["structure_id"])


def _extend_tables() -> None:
    op.add_column(
        "dataset",
        sa.Column(
            "correction_scheme",
            sa.Text(),
            nullable=False,
            server_default="unstated",
            comment="how its energies were corrected",
        ),
    )
    op.drop_constraint(op.f("ck_dataset_formulas_have_no_method"), "dataset")
    op.create_check_constraint(
        op.f("ck_dataset_formulas_have_no_method"),
        "dataset",
        "property IS NOT NULL OR method = 'unstated' OR options ? 'files'",
    )
    op.create_foreign_key(
        op.f("fk_dataset_correction_scheme"), "dataset", "correction_scheme", ["correction_scheme"], ["name"]
    )
    op.add_column(
        "label",
        sa.Column("structure_row_id", sa.BigInteger(), nullable=True, comment="the row of a dataset of structures"),
    )
    op.add_column(
        "label",
        sa.Column("structure_id", sa.BigInteger(), nullable=True, comment="what it is of; NULL: of the composition"),
    )
    op.create_foreign_key(op.f("fk_label_property"), "label", "property", ["property"], ["name"])
    op.create_foreign_key(
        op.f("fk_label_structure_row_id_structure_id_composition_id"),
        "label",
        "structure_row",
        ["structure_row_id", "structure_id", "composition_id"],
        ["id", "structure_id", "composition_id"],
    )
    op.create_check_constraint(
        op.f("ck_label_structure_has_its_row"), "label", "(structure_row_id IS NULL) = (structure_id IS NULL)"
    )
    op.drop_constraint(op.f("ck_label_has_one_source"), "label")
    op.create_check_constraint(op.f("ck_label_has_one_source"), "label", _ONE_SOURCE_OR_STRUCTURE)
    op.create_index(
        "uq_label_structure_row",
        "label",
        ["structure_row_id", "property"],
        unique=True,
        postgresql_where=sa.text("structure_row_id IS NOT NULL"),
    )
    op.create_index(
        "ix_label_structure", "label", ["structure_id"], postgresql_where=sa.text("structure_id IS NOT NULL")
    )


def _defend_anew(table: str) -> None:
    """The defence knows the columns that were there when it was made."""
    op.execute(f"DROP TRIGGER defend_values ON {table}")
    _DEFENCE._defend_values("defend_values", table)  # noqa: SLF001
