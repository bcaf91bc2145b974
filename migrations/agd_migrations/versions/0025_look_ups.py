"""What is asked for is looked up: analogues by chemical system, retracted labels by their retractions, counts in a row.

Revision ID: 0025
Revises: 0024
"""

from importlib import import_module

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

_METHODS = import_module("agd_migrations.versions.0015_methods")
_STRUCTURES = import_module("agd_migrations.versions.0016_structures")
_CALCULATED = import_module("agd_migrations.versions.0022_calculated_labels")
_TALLIES = import_module("agd_migrations.versions.0023_tallies")

ANALOGUE = """
CREATE OR REPLACE FUNCTION agd_analogue(of_campaign bigint, of_composition bigint) RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
DECLARE
    symbols constant text[] := string_to_array(
        'H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge '
        'As Se Br Kr Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm '
        'Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U '
        'Np Pu Am Cm Bk Cf Es Fm Md No Lr', ' ');
    atoms text[];
    elements text[];
    anonymous text;
    systems text[];
    known bigint[];
BEGIN
    SELECT agd_amounts(c.reduced_formula), string_to_array(c.chemical_system, '-'), c.anonymous_formula
    INTO atoms, elements, anonymous FROM composition c WHERE c.id = of_composition AND c.n_elements > 1;
    systems := array(SELECT string_agg(e, '-' ORDER BY e COLLATE "C")
                     FROM unnest(elements) AS gone, unnest(symbols) AS new,
                          unnest(array_replace(elements, gone, new)) AS e
                     WHERE new <> ALL (elements) GROUP BY gone, new);
    known := array(SELECT d.dataset_id FROM v_known_dataset d WHERE d.campaign_id = of_campaign);
    RETURN (SELECT f.formula
            FROM (SELECT k.reduced_formula AS formula FROM composition k
                  WHERE k.chemical_system = ANY (systems) AND k.anonymous_formula = anonymous AND EXISTS (
                      SELECT FROM dataset_row r WHERE r.composition_id = k.id AND r.dataset_id = ANY (known))
                  ORDER BY k.reduced_formula COLLATE "C" OFFSET 0) f
            WHERE (SELECT count(*) FROM unnest(agd_amounts(f.formula)) AS a WHERE a = ANY (atoms))
                = cardinality(atoms) - 1 LIMIT 1);
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
CROSS JOIN LATERAL (
    SELECT string_agg(d.name || ' of ' || to_char(a.started_at, 'YYYY-MM-DD'), ', ' ORDER BY d.name COLLATE "C")
           AS reference
    FROM v_known_dataset k JOIN dataset d ON d.id = k.dataset_id JOIN activity a ON a.id = d.activity_id
    WHERE k.campaign_id = s.campaign_id) q
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
LEFT JOIN composition c ON c.id = s.composition_id
LEFT JOIN campaign k ON k.id = s.campaign_id
LEFT JOIN property p ON p.name = k.property
LEFT JOIN iteration i ON i.id = s.iteration_id
LEFT JOIN activity a ON a.id = s.activity_id
LEFT JOIN latent z ON z.id = s.latent_id
LEFT JOIN model_version m ON m.id = z.model_version_id
LEFT JOIN decode_failure f ON f.suggestion_id = s.suggestion_id
LEFT JOIN suggestion_expectation q ON q.suggestion_id = s.suggestion_id AND q.position = 1
"""

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
LEFT JOIN retraction x ON x.label_id = l.id
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
LEFT JOIN activity b ON b.id = x.activity_id
"""

V_LABEL_BEST = """
CREATE OR REPLACE VIEW v_label_best AS
SELECT l.composition_id, l.property, l.label_id, l.reduced_formula, l.value, l.unit,
       l.uncertainty, l.method, l.method_kind, l.fidelity, l.source_kind, l.source, l.started_at
FROM v_label l
WHERE l.structure_id IS NULL AND NOT l.is_retracted AND agd_is_plausible(l.property, l.value)
  AND NOT EXISTS (SELECT FROM v_label b
                  WHERE b.composition_id = l.composition_id AND b.property = l.property AND b.structure_id IS NULL
                    AND NOT b.is_retracted AND agd_is_plausible(b.property, b.value)
                    AND (b.fidelity, b.label_id) > (l.fidelity, l.label_id))
"""

# The mean as it was shown before: scaled, so that no sum of labels is too large.
BACKFILL = """
INSERT INTO dataset_tally (dataset_id, n_compositions, n_structures, lowest, mean, highest, activity_id)
SELECT d.id, coalesce(r.n, 0), coalesce(s.n, 0), l.lowest, l.mean, l.highest, d.activity_id
FROM dataset d
LEFT JOIN (SELECT dataset_id, count(*) AS n FROM dataset_row GROUP BY dataset_id) r ON r.dataset_id = d.id
LEFT JOIN (SELECT dataset_id, count(*) AS n FROM structure_row GROUP BY dataset_id) s ON s.dataset_id = d.id
LEFT JOIN (SELECT dataset_id, min(value) AS lowest, max(value) AS highest,
                  sum(CASE WHEN abs(value) < 1e-100 THEN 0 ELSE value * 2.0::float8 ^ -64 END) / count(value)
                      / 2.0::float8 ^ -64 AS mean
           FROM label WHERE dataset_id IS NOT NULL GROUP BY dataset_id) l ON l.dataset_id = d.id
"""

BY_SYSTEM = "ix_composition_chemical_system"
INDEXES = {
    f"{BY_SYSTEM}_anonymous_formula": ("composition", ["chemical_system", "anonymous_formula"], None),
    "ix_training_set_member_label": ("training_set_member", ["label_id"], "label_id IS NOT NULL"),
    "ix_activity_campaign_last": ("activity", ["campaign_id", "id"], None),
}


def upgrade() -> None:
    """Keep what datasets came to, and put in indexes what is looked for."""
    op.create_table(
        "dataset_tally",
        sa.Column("dataset_id", sa.BigInteger(), nullable=False),
        sa.Column("n_compositions", sa.Integer(), nullable=False),
        sa.Column("n_structures", sa.Integer(), nullable=False),
        sa.Column("lowest", sa.Double(), comment="of the labels of compositions, NULL where there is none"),
        sa.Column("mean", sa.Double()),
        sa.Column("highest", sa.Double()),
        sa.Column("activity_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["dataset_id"], ["dataset.id"], name=op.f("fk_dataset_tally_dataset_id")),
        sa.ForeignKeyConstraint(["activity_id"], ["activity.id"], name=op.f("fk_dataset_tally_activity_id")),
        sa.PrimaryKeyConstraint("dataset_id", name=op.f("pk_dataset_tally")),
    )
    op.execute(BACKFILL)
    op.execute(
        "CREATE TRIGGER defend_table BEFORE TRUNCATE ON dataset_tally FOR EACH STATEMENT EXECUTE FUNCTION agd_defend()"
    )
    for event, name in (("DELETE", "defend_rows"), ("UPDATE", "defend_values")):
        op.execute(
            f"CREATE TRIGGER {name} BEFORE {event} ON dataset_tally FOR EACH ROW EXECUTE FUNCTION agd_defend('', '')"
        )
    for name, (table, columns, where) in INDEXES.items():
        op.create_index(name, table, columns, postgresql_where=None if where is None else sa.text(where))
    op.drop_index(BY_SYSTEM, "composition")
    for words in (ANALOGUE, V_SURENESS, V_SUGGESTION, V_LABEL, V_LABEL_BEST):
        op.execute(words)


def downgrade() -> None:
    """Go back: what was counted can be counted again."""
    for words in (
        *(_METHODS.ANALOGUE, _METHODS.V_SURENESS, _TALLIES.V_SUGGESTION, _CALCULATED.V_LABEL),
        _STRUCTURES.V_LABEL_BEST,
    ):
        op.execute(words)
    op.create_index(BY_SYSTEM, "composition", ["chemical_system"])
    for name, (table, _, _) in INDEXES.items():
        op.drop_index(name, table)
    op.drop_table("dataset_tally")
