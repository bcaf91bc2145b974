"""Recipes, calculations of structures in parts, their attempts, steps and results; phonons raise a claim.

Revision ID: 0019
Revises: 0018
"""

from importlib import import_module

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

_DEFENCE = import_module("agd_migrations.versions.0006_defence")
_STABILITY = import_module("agd_migrations.versions.0017_stability")

V_RELAXED = """
CREATE OR REPLACE VIEW v_relaxed AS
SELECT s.composition_id, r.structure_id, r.energy_ev_per_atom, r.potential_id, NULL::bigint AS recipe_id,
       r.id AS relaxation_id, NULL::bigint AS calculation_id
FROM relaxation r
JOIN structure s ON s.id = r.structure_id
UNION ALL
SELECT f.composition_id, x.structure_id, e.energy_ev / f.n_sites, q.potential_id, q.id, NULL, k.id
FROM calculation_relaxed x
JOIN calculation k ON k.id = x.calculation_id
JOIN calculation_recipe q ON q.id = k.recipe_id
JOIN structure f ON f.id = k.structure_id
JOIN calculation_energy e ON e.calculation_id = k.id AND e.part = 0
"""

V_CALCULATION = """
CREATE OR REPLACE VIEW v_calculation AS
SELECT k.id AS calculation_id, c.reduced_formula, q.kind, q.engine, coalesce(q.method, p.plugin) AS method,
       p.version AS potential_version, p.weights_sha256, q.inputs, s.space_group, s.n_sites,
       e.energy_ev / s.n_sites AS energy_ev_per_atom, t.is_done, n.n_parts, n.n_parts_done, t.n_attempts,
       t.n_failed, t.core_seconds, t.wall_seconds, t.memory_bytes, t.code_version, t.last_outcome, t.last_class,
       t.last_error, t.ended_at, m.name AS campaign, k.screening_id, j.state AS job_state, q.sha256 AS recipe_sha256,
       k.structure_id, k.recipe_id, s.composition_id, k.job_id, k.campaign_id, k.activity_id
FROM calculation k
JOIN structure s ON s.id = k.structure_id
JOIN composition c ON c.id = s.composition_id
JOIN calculation_recipe q ON q.id = k.recipe_id
LEFT JOIN potential p ON p.id = q.potential_id
LEFT JOIN campaign m ON m.id = k.campaign_id
LEFT JOIN job j ON j.id = k.job_id
LEFT JOIN calculation_energy e ON e.calculation_id = k.id AND e.part = 0
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE f.part > 0) AS n_parts,
           count(y.part) FILTER (WHERE f.part > 0) AS n_parts_done
    FROM calculation_part f
    LEFT JOIN calculation_energy y ON y.calculation_id = f.calculation_id AND y.part = f.part
    WHERE f.calculation_id = k.id) n
CROSS JOIN LATERAL (
    SELECT count(*) AS n_attempts, count(*) FILTER (WHERE a.outcome IN ('failed', 'lost')) AS n_failed,
           coalesce(bool_or(a.outcome = 'done' AND x.part = 0), false) AS is_done,
           sum(x.core_seconds) AS core_seconds, sum(x.wall_seconds) AS wall_seconds,
           max(x.memory_bytes) AS memory_bytes, max(a.ended_at) AS ended_at,
           (array_agg(x.code_version ORDER BY a.id DESC))[1] AS code_version,
           (array_agg(a.outcome ORDER BY a.id DESC))[1] AS last_outcome,
           (array_agg(x.outcome_class ORDER BY a.id DESC))[1] AS last_class,
           (array_agg(a.error ORDER BY a.id DESC))[1] AS last_error
    FROM calculation_attempt x JOIN activity a ON a.id = x.activity_id
    WHERE x.calculation_id = k.id) t
"""

V_ELASTICITY = """
CREATE OR REPLACE VIEW v_elasticity AS
SELECT c.reduced_formula, q.engine, coalesce(q.method, p.plugin) AS method, s.space_group, x.stiffness_gpa,
       x.is_born_stable, x.min_eigenvalue_gpa, v.bulk_voigt_gpa, v.shear_voigt_gpa, v.bulk_reuss_gpa,
       v.shear_reuss_gpa, h.bulk_hill_gpa, h.shear_hill_gpa,
       9 * h.bulk_hill_gpa * h.shear_hill_gpa / nullif(3 * h.bulk_hill_gpa + h.shear_hill_gpa, 0) AS young_hill_gpa,
       (3 * h.bulk_hill_gpa - 2 * h.shear_hill_gpa)
           / nullif(6 * h.bulk_hill_gpa + 2 * h.shear_hill_gpa, 0) AS poisson_hill,
       5 * v.shear_voigt_gpa / nullif(v.shear_reuss_gpa, 0) + v.bulk_voigt_gpa / nullif(v.bulk_reuss_gpa, 0) - 6
           AS anisotropy,
       x.n_strained, x.residual_gpa, q.inputs, a.started_at, a.agd_version, a.host,
       k.structure_id, s.composition_id, k.recipe_id, x.calculation_id, x.activity_id
FROM calculation_elasticity x
JOIN calculation k ON k.id = x.calculation_id
JOIN calculation_recipe q ON q.id = k.recipe_id
LEFT JOIN potential p ON p.id = q.potential_id
JOIN structure s ON s.id = k.structure_id
JOIN composition c ON c.id = s.composition_id
JOIN activity a ON a.id = x.activity_id
CROSS JOIN LATERAL (
    SELECT f[1] + f[7] + f[12] AS along, f[2] + f[3] + f[8] AS across, f[16] + f[19] + f[21] AS shear,
           g[1] + g[7] + g[12] AS give_along, g[2] + g[3] + g[8] AS give_across, g[16] + g[19] + g[21] AS give_shear
    FROM (SELECT x.stiffness_gpa AS f, x.compliance_per_gpa AS g) y) z
CROSS JOIN LATERAL (
    SELECT (z.along + 2 * z.across) / 9 AS bulk_voigt_gpa, (z.along - z.across + 3 * z.shear) / 15 AS shear_voigt_gpa,
           1 / nullif(z.give_along + 2 * z.give_across, 0) AS bulk_reuss_gpa,
           15 / nullif(4 * z.give_along - 4 * z.give_across + 3 * z.give_shear, 0) AS shear_reuss_gpa) v
CROSS JOIN LATERAL (
    SELECT (v.bulk_voigt_gpa + v.bulk_reuss_gpa) / 2 AS bulk_hill_gpa,
           (v.shear_voigt_gpa + v.shear_reuss_gpa) / 2 AS shear_hill_gpa) h
"""

V_PHONONS = """
CREATE OR REPLACE VIEW v_phonons AS
SELECT c.reduced_formula, q.engine, coalesce(q.method, p.plugin) AS method, s.space_group, x.supercell,
       x.displacement_angstrom, x.mesh, x.min_frequency_thz, x.imaginary_below_thz, x.n_imaginary,
       EXISTS (SELECT FROM v_relaxed r
               WHERE r.structure_id = k.structure_id AND r.energy_ev_per_atom <= 0.001 + (
                   SELECT min(o.energy_ev_per_atom) FROM v_relaxed o
                   WHERE o.composition_id = r.composition_id AND o.recipe_id IS NOT DISTINCT FROM r.recipe_id
                     AND o.potential_id IS NOT DISTINCT FROM r.potential_id)) AS is_lowest,
       q.inputs, a.started_at, a.agd_version, a.host,
       k.structure_id, s.composition_id, k.recipe_id, x.calculation_id, x.activity_id
FROM calculation_phonons x
JOIN calculation k ON k.id = x.calculation_id
JOIN calculation_recipe q ON q.id = k.recipe_id
LEFT JOIN potential p ON p.id = q.potential_id
JOIN structure s ON s.id = k.structure_id
JOIN composition c ON c.id = s.composition_id
JOIN activity a ON a.id = x.activity_id
"""

V_CLAIM = """
CREATE OR REPLACE VIEW v_claim AS
SELECT c.id AS composition_id, c.reduced_formula,
       (ARRAY['guessed', 'valid', 'has a template', 'relaxed by a potential', 'near the potential''s hull', 'DFT gap',
              'DFT hull', 'phonons', 'measured'])[n.level + 1] AS claim,
       n.level, e.is_valid, q.n_proposed, e.is_relaxed, p.e_above_hull_ev_per_atom, p.potential, e.has_dft_gap,
       d.dft_e_above_hull_ev_per_atom, e.is_measured,
       CASE WHEN q.id IS NULL THEN NULL WHEN q.n_proposed = 0 THEN 'new family'
            WHEN NOT w.is_known THEN 'substitution of a known family'
            WHEN w.lowest_is_known THEN 'known formula and structure' WHEN w.lowest_is_known IS NULL
            THEN 'known formula' ELSE 'known formula, other structure' END AS structure_novelty, w.reference,
       e.has_stable_phonons
FROM composition c
CROSS JOIN LATERAL (
    SELECT EXISTS (SELECT FROM verdict v WHERE v.composition_id = c.id AND v.is_charge_neutral
                   AND v.is_electronegativity_balanced) AS is_valid,
           EXISTS (SELECT FROM structure s JOIN relaxation r ON r.structure_id = s.id WHERE s.composition_id = c.id)
               AS is_relaxed,
           EXISTS (SELECT FROM v_label l WHERE l.composition_id = c.id AND l.property = 'band_gap'
                   AND l.method_kind = 'dft' AND NOT l.is_retracted) AS has_dft_gap,
           EXISTS (SELECT FROM v_label l WHERE l.composition_id = c.id AND l.method_kind = 'measured'
                   AND NOT l.is_retracted) AS is_measured,
           EXISTS (SELECT FROM v_phonons x WHERE x.composition_id = c.id AND x.n_imaginary = 0 AND x.is_lowest)
               AS has_stable_phonons) e
LEFT JOIN LATERAL (SELECT t.id, t.n_proposed FROM template_search t WHERE t.composition_id = c.id
                   ORDER BY t.id DESC LIMIT 1) q ON true
LEFT JOIN LATERAL (SELECT h.e_above_hull_ev_per_atom, h.method AS potential FROM v_hull_distance h
                   WHERE h.composition_id = c.id AND h.method_kind = 'potential' AND h.is_standing AND h.is_newest
                   ORDER BY h.e_above_hull_ev_per_atom, h.hull_distance_id LIMIT 1) p ON true
CROSS JOIN LATERAL (SELECT min(h.e_above_hull_ev_per_atom) AS dft_e_above_hull_ev_per_atom FROM v_hull_distance h
                    WHERE h.composition_id = c.id AND h.method_kind = 'dft' AND h.is_standing AND h.is_newest) d
CROSS JOIN LATERAL (
    SELECT CASE WHEN e.is_measured THEN 8 WHEN e.has_stable_phonons THEN 7
                WHEN d.dft_e_above_hull_ev_per_atom <= 0.05 THEN 6 WHEN e.has_dft_gap THEN 5
                WHEN p.e_above_hull_ev_per_atom <= 0.05 THEN 4 WHEN e.is_relaxed THEN 3 WHEN q.n_proposed > 0 THEN 2
                WHEN e.is_valid THEN 1 ELSE 0 END AS level) n
CROSS JOIN LATERAL (
    SELECT EXISTS (SELECT FROM template_search_source o JOIN dataset_row r ON r.dataset_id = o.dataset_id
                   WHERE o.search_id = q.id AND r.composition_id = c.id) AS is_known,
           (SELECT min(r.energy_ev_per_atom) FILTER (WHERE i.is_imported)
                   <= coalesce(min(r.energy_ev_per_atom) FILTER (WHERE NOT i.is_imported), 'Infinity') + 0.001
            FROM structure s JOIN relaxation r ON r.from_id = s.id
            CROSS JOIN LATERAL (
                SELECT EXISTS (SELECT FROM structure_row w WHERE w.structure_id = s.id)
                       OR EXISTS (SELECT FROM structure_candidate k JOIN structure t ON t.id = k.template_id
                                  WHERE k.structure_id = s.id AND t.composition_id = c.id) AS is_imported) i
            WHERE s.composition_id = c.id AND r.outcome = 'relaxed'
            GROUP BY r.potential_id ORDER BY r.potential_id DESC LIMIT 1) AS lowest_is_known,
           (SELECT string_agg(o.name || ' of ' || to_char(a.started_at, 'YYYY-MM-DD'), ', ' ORDER BY o.name COLLATE "C")
            FROM template_search_source u JOIN dataset o ON o.id = u.dataset_id JOIN activity a ON a.id = o.activity_id
            WHERE u.search_id = q.id) AS reference) w
"""

VIEWS = (V_RELAXED, V_CALCULATION, V_ELASTICITY, V_PHONONS, V_CLAIM)

# In the order of their making; dropped from the last to the first.
TABLES = (
    *("calculation_recipe", "calculation", "calculation_part", "calculation_attempt", "calculation_step"),
    *("calculation_energy", "calculation_relaxed", "calculation_gap", "calculation_elasticity", "calculation_phonons"),
)

# What is known of an attempt when it has ended.
FILLED = {"calculation_attempt": "outcome_class core_seconds wall_seconds memory_bytes corrections folder files_sha256"}


def upgrade() -> None:
    _create_calculations()
    _create_parts()
    _create_results()
    for table in TABLES:
        op.execute(
            f"CREATE TRIGGER defend_table BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION agd_defend()"
        )
        _DEFENCE._defend("defend_rows", "DELETE", table)  # noqa: SLF001  as every table of the record
        _DEFENCE._defend_values("defend_values", table, filled=FILLED.get(table, ""))  # noqa: SLF001
    for view in VIEWS:
        op.execute(view)


def downgrade() -> None:
    """Go back; refused where that would lose what the revision before cannot hold."""
    if op.get_bind().scalar(sa.text("SELECT EXISTS (SELECT FROM calculation_recipe)")):
        raise RuntimeError(
            f"revision {down_revision} has no place for calculations, and the record has some: nothing was changed"
        )
    for view in ("v_claim", "v_phonons", "v_elasticity", "v_calculation", "v_relaxed"):
        op.execute(f"DROP VIEW {view}")
    for table in reversed(TABLES):
        op.drop_table(table)
    op.execute(_STABILITY.V_CLAIM)


def _create_calculations() -> None:
    op.create_table(
        "calculation_recipe",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("engine", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=True, comment="what its energies and gaps are by"),
        sa.Column("potential_id", sa.BigInteger(), nullable=True, comment="or the potential, with its weights"),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column(
            "inputs",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="all else that the answer depends on",
        ),
        sa.Column("sha256", sa.Text(), nullable=False, comment="of everything above, by natural keys"),
        sa.Column("activity_id", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "kind IN ('relax', 'static', 'gap', 'phonons', 'elastic')", name=op.f("ck_calculation_recipe_kind_is_known")
        ),
        sa.CheckConstraint(
            "(method IS NULL) = (potential_id IS NOT NULL)", name=op.f("ck_calculation_recipe_is_of_one_method")
        ),
        sa.CheckConstraint("engine <> ''", name=op.f("ck_calculation_recipe_engine_is_named")),
        sa.ForeignKeyConstraint(["activity_id"], ["activity.id"], name=op.f("fk_calculation_recipe_activity_id")),
        sa.ForeignKeyConstraint(["method"], ["method.name"], name=op.f("fk_calculation_recipe_method")),
        sa.ForeignKeyConstraint(["potential_id"], ["potential.id"], name=op.f("fk_calculation_recipe_potential_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_calculation_recipe")),
        sa.UniqueConstraint("sha256", name=op.f("uq_calculation_recipe_sha256")),
    )
    op.create_index("ix_calculation_recipe_potential", "calculation_recipe", ["potential_id"], unique=False)
    op.create_table(
        "calculation",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("structure_id", sa.BigInteger(), nullable=False),
        sa.Column("recipe_id", sa.BigInteger(), nullable=False),
        sa.Column("job_id", sa.BigInteger(), nullable=True, comment="that does it"),
        sa.Column("campaign_id", sa.BigInteger(), nullable=True, comment="who asked first, and pays"),
        sa.Column("screening_id", sa.BigInteger(), nullable=True, comment="whose hit it is of"),
        sa.Column("activity_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["activity_id"], ["activity.id"], name=op.f("fk_calculation_activity_id")),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaign.id"], name=op.f("fk_calculation_campaign_id")),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_calculation_job_id")),
        sa.ForeignKeyConstraint(["recipe_id"], ["calculation_recipe.id"], name=op.f("fk_calculation_recipe_id")),
        sa.ForeignKeyConstraint(["screening_id"], ["screening.id"], name=op.f("fk_calculation_screening_id")),
        sa.ForeignKeyConstraint(["structure_id"], ["structure.id"], name=op.f("fk_calculation_structure_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_calculation")),
        sa.UniqueConstraint("structure_id", "recipe_id", name=op.f("uq_calculation_structure_id_recipe_id")),
    )
    op.create_index("ix_calculation_campaign", "calculation", ["campaign_id"], unique=False)
    op.create_index("ix_calculation_job", "calculation", ["job_id"], unique=False)
    op.create_index("ix_calculation_recipe", "calculation", ["recipe_id"], unique=False)


def _create_parts() -> None:
    op.create_table(
        "calculation_part",
        sa.Column("calculation_id", sa.BigInteger(), nullable=False),
        sa.Column("part", sa.Integer(), autoincrement=False, nullable=False, comment="0: the whole"),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column(
            "lattice",
            postgresql.ARRAY(sa.Double()),
            nullable=True,
            comment="in Å; NULL for the whole, whose cell is its structure's",
        ),
        sa.Column("atomic_numbers", postgresql.ARRAY(sa.SmallInteger()), nullable=True, comment="of the sites"),
        sa.Column(
            "frac",
            postgresql.ARRAY(sa.Double()),
            nullable=True,
            comment="places of the sites, in fractions of the vectors",
        ),
        sa.Column("displaced_site", sa.Integer(), nullable=True, comment="counted from 0"),
        sa.Column("displacement_angstrom", postgresql.ARRAY(sa.Double()), nullable=True, comment="of that site"),
        sa.Column("strain", postgresql.ARRAY(sa.Double()), nullable=True),
        sa.Column("activity_id", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "(role = 'strained') = (strain IS NOT NULL)", name=op.f("ck_calculation_part_strained_says_how")
        ),
        sa.CheckConstraint(
            "num_nonnulls(displaced_site, displacement_angstrom) = CASE role WHEN 'displaced' THEN 2 ELSE 0 END",
            name=op.f("ck_calculation_part_displaced_says_how"),
        ),
        sa.CheckConstraint(
            "part >= 0 AND (part = 0) = (role = 'whole')", name=op.f("ck_calculation_part_first_is_the_whole")
        ),
        sa.CheckConstraint(
            "role IN ('whole', 'undisplaced', 'displaced', 'strained')", name=op.f("ck_calculation_part_role_is_known")
        ),
        sa.CheckConstraint(
            "cardinality(displacement_angstrom) = 3", name=op.f("ck_calculation_part_displacement_is_a_vector")
        ),
        sa.CheckConstraint(
            "cardinality(lattice) = 9 AND cardinality(frac) = 3 * cardinality(atomic_numbers)",
            name=op.f("ck_calculation_part_arrays_fit"),
        ),
        sa.CheckConstraint("cardinality(strain) = 6", name=op.f("ck_calculation_part_strain_is_whole")),
        sa.CheckConstraint(
            "num_nonnulls(lattice, atomic_numbers, frac) = CASE part WHEN 0 THEN 0 ELSE 3 END",
            name=op.f("ck_calculation_part_part_has_cell"),
        ),
        sa.ForeignKeyConstraint(["activity_id"], ["activity.id"], name=op.f("fk_calculation_part_activity_id")),
        sa.ForeignKeyConstraint(
            ["calculation_id"], ["calculation.id"], name=op.f("fk_calculation_part_calculation_id")
        ),
        sa.PrimaryKeyConstraint("calculation_id", "part", name=op.f("pk_calculation_part")),
    )
    op.create_table(
        "calculation_attempt",
        sa.Column("activity_id", sa.BigInteger(), nullable=False),
        sa.Column("calculation_id", sa.BigInteger(), nullable=False),
        sa.Column("part", sa.Integer(), nullable=False),
        sa.Column("code_version", sa.Text(), nullable=False, comment="of the engine"),
        sa.Column("n_cores", sa.Integer(), nullable=False, comment="asked"),
        sa.Column("memory_asked_bytes", sa.BigInteger(), nullable=True),
        sa.Column("hours_asked", sa.Double(), nullable=True),
        sa.Column(
            "outcome_class",
            sa.Text(),
            nullable=True,
            comment="one word: done, or what went wrong; NULL while it runs, or where it died",
        ),
        sa.Column("core_seconds", sa.Double(), nullable=True, comment="of processors, its programs' included"),
        sa.Column("wall_seconds", sa.Double(), nullable=True),
        sa.Column("memory_bytes", sa.BigInteger(), nullable=True, comment="the most that it held"),
        sa.Column(
            "corrections",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="what was changed on the way so that it went on",
        ),
        sa.Column("folder", sa.Text(), nullable=True, comment="where its files were"),
        sa.Column("files_sha256", sa.Text(), nullable=True, comment="of the archive of its files, where that was kept"),
        sa.CheckConstraint(
            "core_seconds >= 0 AND core_seconds < 'Infinity'",
            name=op.f("ck_calculation_attempt_core_seconds_are_finite"),
        ),
        sa.CheckConstraint("outcome_class <> ''", name=op.f("ck_calculation_attempt_outcome_class_is_given")),
        sa.CheckConstraint(
            "wall_seconds >= 0 AND wall_seconds < 'Infinity'",
            name=op.f("ck_calculation_attempt_wall_seconds_are_finite"),
        ),
        sa.CheckConstraint("memory_bytes >= 0", name=op.f("ck_calculation_attempt_memory_is_a_count")),
        sa.CheckConstraint("n_cores > 0", name=op.f("ck_calculation_attempt_n_cores_is_positive")),
        sa.ForeignKeyConstraint(["activity_id"], ["activity.id"], name=op.f("fk_calculation_attempt_activity_id")),
        sa.ForeignKeyConstraint(
            ["calculation_id", "part"],
            ["calculation_part.calculation_id", "calculation_part.part"],
            name=op.f("fk_calculation_attempt_calculation_id_part"),
        ),
        sa.PrimaryKeyConstraint("activity_id", name=op.f("pk_calculation_attempt")),
    )
    op.create_index("ix_calculation_attempt_part", "calculation_attempt", ["calculation_id", "part"], unique=False)
    op.create_table(
        "calculation_step",
        sa.Column("calculation_id", sa.BigInteger(), nullable=False),
        sa.Column("part", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column(
            "number", sa.Integer(), autoincrement=False, nullable=False, comment="counted on from attempt to attempt"
        ),
        sa.Column("energy_ev", sa.Double(), nullable=False, comment="of the cell"),
        sa.Column("lattice", postgresql.ARRAY(sa.Double()), nullable=False, comment="in Å"),
        sa.Column("frac", postgresql.ARRAY(sa.Double()), nullable=False),
        sa.Column("forces_ev_per_angstrom", postgresql.ARRAY(sa.Double()), nullable=False),
        sa.Column("stress_gpa", postgresql.ARRAY(sa.Double()), nullable=True, comment="tension positive"),
        sa.Column("activity_id", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "energy_ev > '-Infinity' AND energy_ev < 'Infinity'", name=op.f("ck_calculation_step_energy_ev_is_finite")
        ),
        sa.CheckConstraint(
            "cardinality(lattice) = 9 AND cardinality(frac) = cardinality(forces_ev_per_angstrom)"
            " AND coalesce(cardinality(stress_gpa) = 6, true)",
            name=op.f("ck_calculation_step_arrays_fit"),
        ),
        sa.CheckConstraint("number > 0", name=op.f("ck_calculation_step_number_is_positive")),
        sa.ForeignKeyConstraint(["activity_id"], ["activity.id"], name=op.f("fk_calculation_step_activity_id")),
        sa.ForeignKeyConstraint(
            ["calculation_id", "part"],
            ["calculation_part.calculation_id", "calculation_part.part"],
            name=op.f("fk_calculation_step_calculation_id_part"),
        ),
        sa.PrimaryKeyConstraint("calculation_id", "part", "number", name=op.f("pk_calculation_step")),
    )
    op.create_table(
        "calculation_energy",
        sa.Column("calculation_id", sa.BigInteger(), nullable=False),
        sa.Column("part", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("energy_ev", sa.Double(), nullable=False, comment="of the cell"),
        sa.Column(
            "lattice", postgresql.ARRAY(sa.Double()), nullable=True, comment="where it ended, in Å; NULL: as it began"
        ),
        sa.Column(
            "frac", postgresql.ARRAY(sa.Double()), nullable=True, comment="where its sites ended; NULL: as they began"
        ),
        sa.Column("forces_ev_per_angstrom", postgresql.ARRAY(sa.Double()), nullable=False),
        sa.Column("stress_gpa", postgresql.ARRAY(sa.Double()), nullable=True, comment="tension positive"),
        sa.Column("activity_id", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "energy_ev > '-Infinity' AND energy_ev < 'Infinity'", name=op.f("ck_calculation_energy_energy_ev_is_finite")
        ),
        sa.CheckConstraint(
            "coalesce(cardinality(lattice) = 9, true)"
            " AND coalesce(cardinality(frac) = cardinality(forces_ev_per_angstrom), true)"
            " AND coalesce(cardinality(stress_gpa) = 6, true)",
            name=op.f("ck_calculation_energy_arrays_fit"),
        ),
        sa.ForeignKeyConstraint(["activity_id"], ["activity.id"], name=op.f("fk_calculation_energy_activity_id")),
        sa.ForeignKeyConstraint(
            ["calculation_id", "part"],
            ["calculation_part.calculation_id", "calculation_part.part"],
            name=op.f("fk_calculation_energy_calculation_id_part"),
        ),
        sa.PrimaryKeyConstraint("calculation_id", "part", name=op.f("pk_calculation_energy")),
    )


def _create_results() -> None:
    op.create_table(
        "calculation_relaxed",
        sa.Column("calculation_id", sa.BigInteger(), nullable=False),
        sa.Column("structure_id", sa.BigInteger(), nullable=False),
        sa.Column("volume_ratio", sa.Double(), nullable=False, comment="after to before"),
        sa.Column("n_steps", sa.Integer(), nullable=False),
        sa.Column("activity_id", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "volume_ratio > '-Infinity' AND volume_ratio < 'Infinity'",
            name=op.f("ck_calculation_relaxed_volume_ratio_is_finite"),
        ),
        sa.CheckConstraint("n_steps >= 0", name=op.f("ck_calculation_relaxed_n_steps_is_a_count")),
        sa.ForeignKeyConstraint(["activity_id"], ["activity.id"], name=op.f("fk_calculation_relaxed_activity_id")),
        sa.ForeignKeyConstraint(
            ["calculation_id"], ["calculation.id"], name=op.f("fk_calculation_relaxed_calculation_id")
        ),
        sa.ForeignKeyConstraint(["structure_id"], ["structure.id"], name=op.f("fk_calculation_relaxed_structure_id")),
        sa.PrimaryKeyConstraint("calculation_id", name=op.f("pk_calculation_relaxed")),
    )
    op.create_index("ix_calculation_relaxed_structure", "calculation_relaxed", ["structure_id"], unique=False)
    op.create_table(
        "calculation_gap",
        sa.Column("calculation_id", sa.BigInteger(), nullable=False),
        sa.Column("gap_ev", sa.Double(), nullable=False, comment="the least, wherever it is; 0 of a metal"),
        sa.Column("direct_gap_ev", sa.Double(), nullable=False, comment="the least at one point"),
        sa.Column(
            "valence_k",
            postgresql.ARRAY(sa.Double()),
            nullable=True,
            comment="where the highest filled state is, in reciprocal vectors",
        ),
        sa.Column(
            "conduction_k", postgresql.ARRAY(sa.Double()), nullable=True, comment="where the lowest empty one is"
        ),
        sa.Column("direct_k", postgresql.ARRAY(sa.Double()), nullable=True, comment="where the direct gap is"),
        sa.Column("n_kpoints", sa.Integer(), nullable=False),
        sa.Column("n_bands", sa.Integer(), nullable=False),
        sa.Column("is_spin_polarised", sa.Boolean(), nullable=False),
        sa.Column("activity_id", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "gap_ev >= 0 AND direct_gap_ev >= gap_ev AND direct_gap_ev < 'Infinity'",
            name=op.f("ck_calculation_gap_gaps_are_ordered"),
        ),
        sa.CheckConstraint(
            "coalesce(cardinality(valence_k) = 3 AND cardinality(conduction_k) = 3"
            " AND cardinality(direct_k) = 3, true)",
            name=op.f("ck_calculation_gap_points_are_vectors"),
        ),
        sa.CheckConstraint(
            "num_nonnulls(valence_k, conduction_k, direct_k) = CASE WHEN gap_ev > 0 THEN 3 ELSE 0 END",
            name=op.f("ck_calculation_gap_gap_is_placed"),
        ),
        sa.CheckConstraint("n_bands > 0", name=op.f("ck_calculation_gap_n_bands_is_positive")),
        sa.CheckConstraint("n_kpoints > 0", name=op.f("ck_calculation_gap_n_kpoints_is_positive")),
        sa.ForeignKeyConstraint(["activity_id"], ["activity.id"], name=op.f("fk_calculation_gap_activity_id")),
        sa.ForeignKeyConstraint(["calculation_id"], ["calculation.id"], name=op.f("fk_calculation_gap_calculation_id")),
        sa.PrimaryKeyConstraint("calculation_id", name=op.f("pk_calculation_gap")),
    )
    op.create_table(
        "calculation_elasticity",
        sa.Column("calculation_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "stiffness_gpa",
            postgresql.ARRAY(sa.Double()),
            nullable=False,
            comment="11, 12, .. 16, 22, .. 66, in the axes of the structure's lattice",
        ),
        sa.Column(
            "compliance_per_gpa",
            postgresql.ARRAY(sa.Double()),
            nullable=True,
            comment="its inverse, in the same order; NULL where it has none",
        ),
        sa.Column("min_eigenvalue_gpa", sa.Double(), nullable=False),
        sa.Column(
            "is_born_stable",
            sa.Boolean(),
            nullable=False,
            comment="whether every strain costs energy (10.1103/PhysRevB.90.224104)",
        ),
        sa.Column("n_strained", sa.Integer(), nullable=False),
        sa.Column(
            "residual_gpa", sa.Double(), nullable=False, comment="what the fit leaves of the stresses, root mean square"
        ),
        sa.Column("activity_id", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "min_eigenvalue_gpa > '-Infinity' AND min_eigenvalue_gpa < 'Infinity'",
            name=op.f("ck_calculation_elasticity_min_eigenvalue_gpa_is_finite"),
        ),
        sa.CheckConstraint(
            "residual_gpa >= 0 AND residual_gpa < 'Infinity'", name=op.f("ck_calculation_elasticity_residual_is_finite")
        ),
        sa.CheckConstraint(
            "cardinality(stiffness_gpa) = 21 AND coalesce(cardinality(compliance_per_gpa) = 21, true)",
            name=op.f("ck_calculation_elasticity_arrays_fit"),
        ),
        sa.CheckConstraint(
            "is_born_stable = (min_eigenvalue_gpa > 0)",
            name=op.f("ck_calculation_elasticity_born_is_the_least_eigenvalue"),
        ),
        sa.CheckConstraint("n_strained >= 6", name=op.f("ck_calculation_elasticity_n_strained_suffices")),
        sa.ForeignKeyConstraint(["activity_id"], ["activity.id"], name=op.f("fk_calculation_elasticity_activity_id")),
        sa.ForeignKeyConstraint(
            ["calculation_id"], ["calculation.id"], name=op.f("fk_calculation_elasticity_calculation_id")
        ),
        sa.PrimaryKeyConstraint("calculation_id", name=op.f("pk_calculation_elasticity")),
    )
    op.create_table(
        "calculation_phonons",
        sa.Column("calculation_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "supercell",
            postgresql.ARRAY(sa.Integer()),
            nullable=False,
            comment="[3, 3]: its vectors in those of the cell",
        ),
        sa.Column("displacement_angstrom", sa.Double(), nullable=False),
        sa.Column(
            "mesh", postgresql.ARRAY(sa.Integer()), nullable=False, comment="points along each reciprocal vector"
        ),
        sa.Column(
            "mesh_weights", postgresql.ARRAY(sa.Integer()), nullable=False, comment="how many points each stands for"
        ),
        sa.Column(
            "mesh_frequencies_thz",
            postgresql.ARRAY(sa.REAL()),
            nullable=False,
            comment="[points, modes]; imaginary ones negative",
        ),
        sa.Column(
            "path_points", postgresql.ARRAY(sa.REAL()), nullable=False, comment="[points, 3] in reciprocal vectors"
        ),
        sa.Column("path_distances", postgresql.ARRAY(sa.REAL()), nullable=False, comment="along the path, in 1/Å"),
        sa.Column(
            "path_labels",
            postgresql.ARRAY(sa.Text()),
            nullable=False,
            comment="of the points that have a name, else empty",
        ),
        sa.Column("path_frequencies_thz", postgresql.ARRAY(sa.REAL()), nullable=False, comment="[points, modes]"),
        sa.Column(
            "min_frequency_thz", sa.Double(), nullable=False, comment="of mesh and path; of an imaginary mode negative"
        ),
        sa.Column(
            "imaginary_below_thz", sa.Double(), nullable=False, comment="what lies above is zero within the error"
        ),
        sa.Column("n_imaginary", sa.Integer(), nullable=False, comment="modes of mesh and path below that"),
        sa.Column("activity_id", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "displacement_angstrom > '-Infinity' AND displacement_angstrom < 'Infinity'",
            name=op.f("ck_calculation_phonons_displacement_angstrom_is_finite"),
        ),
        sa.CheckConstraint(
            "min_frequency_thz > '-Infinity' AND min_frequency_thz < 'Infinity'",
            name=op.f("ck_calculation_phonons_min_frequency_thz_is_finite"),
        ),
        sa.CheckConstraint(
            "cardinality(supercell) = 9 AND cardinality(mesh) = 3 AND cardinality(mesh_weights) > 0"
            " AND cardinality(mesh_frequencies_thz) % cardinality(mesh_weights) = 0"
            " AND cardinality(path_points) = 3 * cardinality(path_distances)"
            " AND cardinality(path_labels) = cardinality(path_distances)"
            " AND cardinality(path_frequencies_thz) * cardinality(mesh_weights)"
            " = cardinality(mesh_frequencies_thz) * cardinality(path_distances)",
            name=op.f("ck_calculation_phonons_arrays_fit"),
        ),
        sa.CheckConstraint(
            "imaginary_below_thz <= 0 AND (n_imaginary > 0) = (min_frequency_thz < imaginary_below_thz)",
            name=op.f("ck_calculation_phonons_imaginary_is_below"),
        ),
        sa.CheckConstraint("n_imaginary >= 0", name=op.f("ck_calculation_phonons_n_imaginary_is_a_count")),
        sa.ForeignKeyConstraint(["activity_id"], ["activity.id"], name=op.f("fk_calculation_phonons_activity_id")),
        sa.ForeignKeyConstraint(
            ["calculation_id"], ["calculation.id"], name=op.f("fk_calculation_phonons_calculation_id")
        ),
        sa.PrimaryKeyConstraint("calculation_id", name=op.f("pk_calculation_phonons")),
    )
