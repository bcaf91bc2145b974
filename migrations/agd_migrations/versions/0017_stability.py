"""Structures proposed for a composition, what potentials make of them, distances from a hull, and claims.

Revision ID: 0017
Revises: 0016
"""

from importlib import import_module

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_DEFENCE = import_module("agd_migrations.versions.0006_defence")

V_HULL_DISTANCE = """
CREATE OR REPLACE VIEW v_hull_distance AS
SELECT h.id AS hull_distance_id, c.reduced_formula, h.e_form_ev_per_atom, h.hull_ev_per_atom,
       CASE WHEN abs(h.e_form_ev_per_atom - h.hull_ev_per_atom) < 1e-6 THEN 0
            ELSE h.e_form_ev_per_atom - h.hull_ev_per_atom END AS e_above_hull_ev_per_atom,
       coalesce(p.plugin, s.method) AS method, coalesce(t.kind, 'potential') AS method_kind, s.correction_scheme,
       NOT EXISTS (SELECT FROM retraction x WHERE x.label_id = h.label_id)
           AND NOT EXISTS (SELECT FROM phase_set_member f JOIN retraction x ON x.label_id = f.label_id
                           WHERE f.phase_set_id = h.phase_set_id) AS is_standing,
       NOT EXISTS (SELECT FROM hull_distance n WHERE n.id > h.id AND (n.relaxation_id = h.relaxation_id
                                                                      OR n.label_id = h.label_id)) AS is_newest,
       d.products, a.started_at, a.agd_version, a.host,
       h.composition_id, h.phase_set_id, h.relaxation_id, h.label_id, h.potential_id, h.activity_id
FROM hull_distance h
JOIN composition c ON c.id = h.composition_id
JOIN phase_set s ON s.id = h.phase_set_id
JOIN activity a ON a.id = h.activity_id
LEFT JOIN potential p ON p.id = h.potential_id
LEFT JOIN method t ON t.name = s.method
CROSS JOIN LATERAL (
    SELECT string_agg(e.reduced_formula || ' ' || round(o.atomic_fraction::numeric, 3), ' + '
                      ORDER BY o.atomic_fraction DESC, e.reduced_formula COLLATE "C") AS products
    FROM decomposition o JOIN phase_set_member f ON f.phase_set_id = o.phase_set_id AND f.position = o.position
    JOIN composition e ON e.id = f.composition_id WHERE o.hull_distance_id = h.id) d
"""

V_STRUCTURE_CANDIDATE = """
CREATE OR REPLACE VIEW v_structure_candidate AS
SELECT c.reduced_formula, s.rank, e.reduced_formula AS template, s.mapping, s.distance, q.plugin AS templates,
       q.plugin_version AS templates_version, p.plugin AS potential, p.version AS potential_version,
       p.weights_sha256, r.outcome, r.energy_ev_per_atom, r.n_steps, r.volume_ratio, r.reason,
       h.e_form_ev_per_atom, h.e_above_hull_ev_per_atom, h.products,
       q.composition_id, q.id AS search_id, s.structure_id, s.template_id, r.id AS relaxation_id,
       r.structure_id AS relaxed_id, h.hull_distance_id, p.id AS potential_id, q.activity_id,
       (SELECT min(w.entry COLLATE "C") FROM structure_row w WHERE w.structure_id = s.template_id) AS template_entry
FROM template_search q
JOIN composition c ON c.id = q.composition_id
JOIN structure_candidate s ON s.search_id = q.id
JOIN structure t ON t.id = s.template_id
JOIN composition e ON e.id = t.composition_id
LEFT JOIN relaxation r ON r.from_id = s.structure_id
LEFT JOIN potential p ON p.id = r.potential_id
LEFT JOIN LATERAL (SELECT * FROM v_hull_distance d
                   WHERE d.relaxation_id = r.id AND d.is_newest OFFSET 0) h ON true
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
            THEN 'known formula' ELSE 'known formula, other structure' END AS structure_novelty, w.reference
FROM composition c
CROSS JOIN LATERAL (
    SELECT EXISTS (SELECT FROM verdict v WHERE v.composition_id = c.id AND v.is_charge_neutral
                   AND v.is_electronegativity_balanced) AS is_valid,
           EXISTS (SELECT FROM structure s JOIN relaxation r ON r.structure_id = s.id WHERE s.composition_id = c.id)
               AS is_relaxed,
           EXISTS (SELECT FROM v_label l WHERE l.composition_id = c.id AND l.property = 'band_gap'
                   AND l.method_kind = 'dft' AND NOT l.is_retracted) AS has_dft_gap,
           EXISTS (SELECT FROM v_label l WHERE l.composition_id = c.id AND l.method_kind = 'measured'
                   AND NOT l.is_retracted) AS is_measured) e
LEFT JOIN LATERAL (SELECT t.id, t.n_proposed FROM template_search t WHERE t.composition_id = c.id
                   ORDER BY t.id DESC LIMIT 1) q ON true
LEFT JOIN LATERAL (SELECT h.e_above_hull_ev_per_atom, h.method AS potential FROM v_hull_distance h
                   WHERE h.composition_id = c.id AND h.method_kind = 'potential' AND h.is_standing AND h.is_newest
                   ORDER BY h.e_above_hull_ev_per_atom, h.hull_distance_id LIMIT 1) p ON true
CROSS JOIN LATERAL (SELECT min(h.e_above_hull_ev_per_atom) AS dft_e_above_hull_ev_per_atom FROM v_hull_distance h
                    WHERE h.composition_id = c.id AND h.method_kind = 'dft' AND h.is_standing AND h.is_newest) d
CROSS JOIN LATERAL (
    SELECT CASE WHEN e.is_measured THEN 8 WHEN d.dft_e_above_hull_ev_per_atom <= 0.05 THEN 6 WHEN e.has_dft_gap THEN 5
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

# In the order of their making; dropped from the last to the first.
TABLES = (
    *("template_search", "template_search_source", "structure_candidate", "potential", "relaxation"),
    *("phase_set", "phase_set_member", "hull_distance", "decomposition"),
)

KEPT = {
    "template_search": "searches for templates",
    "potential": "potentials and what they relaxed",
    "phase_set": "phases and distances from their hull",
}


def upgrade() -> None:
    _create_candidates()
    _create_relaxations()
    _create_hulls()
    for table in TABLES:
        op.execute(
            f"CREATE TRIGGER defend_table BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION agd_defend()"
        )
        _DEFENCE._defend("defend_rows", "DELETE", table)  # noqa: SLF001  as every table of the record
        _DEFENCE._defend_values("defend_values", table)  # noqa: SLF001
    for view in (V_HULL_DISTANCE, V_STRUCTURE_CANDIDATE, V_CLAIM):
        op.execute(view)


def downgrade() -> None:
    """Go back; refused where that would lose what the revision before cannot hold."""
    for rows, what in KEPT.items():
        if op.get_bind().scalar(sa.text(f"SELECT EXISTS (SELECT FROM {rows})")):
            raise RuntimeError(
                f"revision {down_revision} has no place for {what}, and the record has some: nothing was changed"
            )
    for view in ("v_claim", "v_structure_candidate", "v_hull_distance"):
        op.execute(f"DROP VIEW {view}")
    for table in reversed(TABLES):
        op.drop_table(table)


def _create_candidates() -> None:
    op.create_table(
        "template_search",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("composition_id", sa.BigInteger(), nullable=False),
        sa.Column("plugin", sa.Text(), nullable=False, comment="of the templates"),
        sa.Column("plugin_version", sa.Text(), nullable=False, comment="of the package that brought it"),
        sa.Column("options", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("n_searched", sa.Integer(), nullable=False, comment="known structures"),
        sa.Column(
            "n_proposed",
            sa.Integer(),
            nullable=False,
            comment="distinct types; 0: no analogue, which is not to say unstable",
        ),
        sa.Column("recipe_sha256", sa.Text(), nullable=False, comment="of everything above and the sources"),
        sa.Column("activity_id", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("n_proposed >= 0", name=op.f("ck_template_search_n_proposed_is_a_count")),
        sa.CheckConstraint("n_searched >= 0", name=op.f("ck_template_search_n_searched_is_a_count")),
        sa.ForeignKeyConstraint(["activity_id"], ["activity.id"], name=op.f("fk_template_search_activity_id")),
        sa.ForeignKeyConstraint(["composition_id"], ["composition.id"], name=op.f("fk_template_search_composition_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_template_search")),
        sa.UniqueConstraint("id", "composition_id", name=op.f("uq_template_search_id_composition_id")),
        sa.UniqueConstraint("recipe_sha256", name=op.f("uq_template_search_recipe_sha256")),
    )
    op.create_index("ix_template_search_composition", "template_search", ["composition_id"], unique=False)
    op.create_table(
        "template_search_source",
        sa.Column("search_id", sa.BigInteger(), nullable=False),
        sa.Column("dataset_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["dataset_id"], ["dataset.id"], name=op.f("fk_template_search_source_dataset_id")),
        sa.ForeignKeyConstraint(
            ["search_id"], ["template_search.id"], name=op.f("fk_template_search_source_search_id")
        ),
        sa.PrimaryKeyConstraint("search_id", "dataset_id", name=op.f("pk_template_search_source")),
    )
    op.create_table(
        "structure_candidate",
        sa.Column("search_id", sa.BigInteger(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("structure_id", sa.BigInteger(), nullable=False),
        sa.Column("template_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "mapping",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="element of the template to those that take its sites",
        ),
        sa.Column("distance", sa.Double(), nullable=False, comment="of the two formulas, as the plug-in ranks"),
        sa.CheckConstraint(
            "distance > '-Infinity' AND distance < 'Infinity'", name=op.f("ck_structure_candidate_distance_is_finite")
        ),
        sa.CheckConstraint("rank > 0", name=op.f("ck_structure_candidate_rank_is_positive")),
        sa.ForeignKeyConstraint(["search_id"], ["template_search.id"], name=op.f("fk_structure_candidate_search_id")),
        sa.ForeignKeyConstraint(["structure_id"], ["structure.id"], name=op.f("fk_structure_candidate_structure_id")),
        sa.ForeignKeyConstraint(["template_id"], ["structure.id"], name=op.f("fk_structure_candidate_template_id")),
        sa.PrimaryKeyConstraint("search_id", "rank", name=op.f("pk_structure_candidate")),
    )
    op.create_index("ix_structure_candidate_structure", "structure_candidate", ["structure_id"], unique=False)
    op.create_index("ix_structure_candidate_template", "structure_candidate", ["template_id"], unique=False)


def _create_relaxations() -> None:
    op.create_table(
        "potential",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("plugin", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False, comment="of the package that brought it"),
        sa.Column("weights_sha256", sa.Text(), nullable=False),
        sa.Column("activity_id", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("plugin <> ''", name=op.f("ck_potential_plugin_is_named")),
        sa.ForeignKeyConstraint(["activity_id"], ["activity.id"], name=op.f("fk_potential_activity_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_potential")),
        sa.UniqueConstraint(
            "plugin", "version", "weights_sha256", name=op.f("uq_potential_plugin_version_weights_sha256")
        ),
    )
    op.create_table(
        "relaxation",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("from_id", sa.BigInteger(), nullable=False),
        sa.Column("potential_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "settings",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="where it stops, and what it refuses",
        ),
        sa.Column("settings_sha256", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("structure_id", sa.BigInteger(), nullable=True, comment="what it became"),
        sa.Column("energy_ev_per_atom", sa.Double(), nullable=True, comment="the potential's own, with no correction"),
        sa.Column("max_force_ev_per_angstrom", sa.Double(), nullable=True),
        sa.Column("volume_ratio", sa.Double(), nullable=True, comment="after to before"),
        sa.Column("n_steps", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True, comment="why it was refused"),
        sa.Column("activity_id", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "(outcome = 'refused') = (reason IS NOT NULL AND reason <> '')",
            name=op.f("ck_relaxation_refused_has_reason"),
        ),
        sa.CheckConstraint(
            "(outcome = 'relaxed') = (num_nonnulls(structure_id, energy_ev_per_atom) = 2)",
            name=op.f("ck_relaxation_relaxed_has_energy"),
        ),
        sa.CheckConstraint(
            "energy_ev_per_atom > '-Infinity' AND energy_ev_per_atom < 'Infinity'",
            name=op.f("ck_relaxation_energy_ev_per_atom_is_finite"),
        ),
        sa.CheckConstraint("outcome IN ('relaxed', 'refused')", name=op.f("ck_relaxation_outcome_is_known")),
        sa.CheckConstraint("n_steps >= 0", name=op.f("ck_relaxation_n_steps_is_a_count")),
        sa.ForeignKeyConstraint(["activity_id"], ["activity.id"], name=op.f("fk_relaxation_activity_id")),
        sa.ForeignKeyConstraint(["from_id"], ["structure.id"], name=op.f("fk_relaxation_from_id")),
        sa.ForeignKeyConstraint(["potential_id"], ["potential.id"], name=op.f("fk_relaxation_potential_id")),
        sa.ForeignKeyConstraint(["structure_id"], ["structure.id"], name=op.f("fk_relaxation_structure_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_relaxation")),
        sa.UniqueConstraint(
            "from_id",
            "potential_id",
            "settings_sha256",
            name=op.f("uq_relaxation_from_id_potential_id_settings_sha256"),
        ),
        sa.UniqueConstraint("id", "potential_id", name=op.f("uq_relaxation_id_potential_id")),
    )
    op.create_index("ix_relaxation_structure", "relaxation", ["structure_id"], unique=False)


def _create_hulls() -> None:
    op.create_table(
        "phase_set",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("chemical_system", sa.Text(), nullable=False),
        sa.Column("potential_id", sa.BigInteger(), nullable=True, comment="all relaxed by this one"),
        sa.Column("method", sa.Text(), nullable=True, comment="or all labels by this method and scheme"),
        sa.Column("correction_scheme", sa.Text(), nullable=True),
        sa.Column("sha256", sa.Text(), nullable=False, comment="of method and members, by natural keys"),
        sa.Column("activity_id", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "(method IS NULL) = (correction_scheme IS NULL)", name=op.f("ck_phase_set_method_has_scheme")
        ),
        sa.CheckConstraint("(potential_id IS NULL) = (method IS NOT NULL)", name=op.f("ck_phase_set_is_of_one_method")),
        sa.ForeignKeyConstraint(["activity_id"], ["activity.id"], name=op.f("fk_phase_set_activity_id")),
        sa.ForeignKeyConstraint(
            ["correction_scheme"], ["correction_scheme.name"], name=op.f("fk_phase_set_correction_scheme")
        ),
        sa.ForeignKeyConstraint(["method"], ["method.name"], name=op.f("fk_phase_set_method")),
        sa.ForeignKeyConstraint(["potential_id"], ["potential.id"], name=op.f("fk_phase_set_potential_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_phase_set")),
        sa.UniqueConstraint("id", "potential_id", name=op.f("uq_phase_set_id_potential_id")),
        sa.UniqueConstraint("sha256", name=op.f("uq_phase_set_sha256")),
    )
    op.create_index(op.f("ix_phase_set_chemical_system"), "phase_set", ["chemical_system"], unique=False)
    op.create_table(
        "phase_set_member",
        sa.Column("phase_set_id", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("composition_id", sa.BigInteger(), nullable=False),
        sa.Column("e_form_ev_per_atom", sa.Double(), nullable=False),
        sa.Column("relaxation_id", sa.BigInteger(), nullable=True),
        sa.Column("label_id", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "e_form_ev_per_atom > '-Infinity' AND e_form_ev_per_atom < 'Infinity'",
            name=op.f("ck_phase_set_member_e_form_ev_per_atom_is_finite"),
        ),
        sa.CheckConstraint(
            "num_nonnulls(relaxation_id, label_id) <= 1", name=op.f("ck_phase_set_member_has_one_source")
        ),
        sa.CheckConstraint(
            "num_nonnulls(relaxation_id, label_id) = 1 OR e_form_ev_per_atom = 0",
            name=op.f("ck_phase_set_member_bare_element_is_zero"),
        ),
        sa.CheckConstraint("position > 0", name=op.f("ck_phase_set_member_position_is_positive")),
        sa.ForeignKeyConstraint(
            ["composition_id"], ["composition.id"], name=op.f("fk_phase_set_member_composition_id")
        ),
        sa.ForeignKeyConstraint(["label_id"], ["label.id"], name=op.f("fk_phase_set_member_label_id")),
        sa.ForeignKeyConstraint(["phase_set_id"], ["phase_set.id"], name=op.f("fk_phase_set_member_phase_set_id")),
        sa.ForeignKeyConstraint(["relaxation_id"], ["relaxation.id"], name=op.f("fk_phase_set_member_relaxation_id")),
        sa.PrimaryKeyConstraint("phase_set_id", "position", name=op.f("pk_phase_set_member")),
    )
    op.create_index("ix_phase_set_member_label", "phase_set_member", ["label_id"], unique=False)
    op.create_index("ix_phase_set_member_relaxation", "phase_set_member", ["relaxation_id"], unique=False)
    op.create_table(
        "hull_distance",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("phase_set_id", sa.BigInteger(), nullable=False),
        sa.Column("composition_id", sa.BigInteger(), nullable=False),
        sa.Column("relaxation_id", sa.BigInteger(), nullable=True),
        sa.Column("label_id", sa.BigInteger(), nullable=True),
        sa.Column("potential_id", sa.BigInteger(), nullable=True, comment="of the relaxation and of the phases alike"),
        sa.Column("e_form_ev_per_atom", sa.Double(), nullable=False),
        sa.Column("hull_ev_per_atom", sa.Double(), nullable=False, comment="of the phases, where the composition is"),
        sa.Column("activity_id", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "e_form_ev_per_atom > '-Infinity' AND e_form_ev_per_atom < 'Infinity'",
            name=op.f("ck_hull_distance_e_form_ev_per_atom_is_finite"),
        ),
        sa.CheckConstraint(
            "hull_ev_per_atom > '-Infinity' AND hull_ev_per_atom < 'Infinity'",
            name=op.f("ck_hull_distance_hull_ev_per_atom_is_finite"),
        ),
        sa.CheckConstraint(
            "(relaxation_id IS NULL) = (potential_id IS NULL)", name=op.f("ck_hull_distance_relaxation_has_potential")
        ),
        sa.CheckConstraint("num_nonnulls(relaxation_id, label_id) = 1", name=op.f("ck_hull_distance_has_one_energy")),
        sa.ForeignKeyConstraint(["activity_id"], ["activity.id"], name=op.f("fk_hull_distance_activity_id")),
        sa.ForeignKeyConstraint(["composition_id"], ["composition.id"], name=op.f("fk_hull_distance_composition_id")),
        sa.ForeignKeyConstraint(
            ["label_id", "composition_id"],
            ["label.id", "label.composition_id"],
            name=op.f("fk_hull_distance_label_id_composition_id"),
        ),
        sa.ForeignKeyConstraint(
            ["phase_set_id", "potential_id"],
            ["phase_set.id", "phase_set.potential_id"],
            name=op.f("fk_hull_distance_phase_set_id_potential_id"),
        ),
        sa.ForeignKeyConstraint(["phase_set_id"], ["phase_set.id"], name=op.f("fk_hull_distance_phase_set_id")),
        sa.ForeignKeyConstraint(
            ["relaxation_id", "potential_id"],
            ["relaxation.id", "relaxation.potential_id"],
            name=op.f("fk_hull_distance_relaxation_id_potential_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hull_distance")),
        sa.UniqueConstraint("id", "phase_set_id", name=op.f("uq_hull_distance_id_phase_set_id")),
        sa.UniqueConstraint("phase_set_id", "label_id", name=op.f("uq_hull_distance_phase_set_id_label_id")),
        sa.UniqueConstraint("phase_set_id", "relaxation_id", name=op.f("uq_hull_distance_phase_set_id_relaxation_id")),
    )
    op.create_index("ix_hull_distance_composition", "hull_distance", ["composition_id"], unique=False)
    op.create_index("ix_hull_distance_label", "hull_distance", ["label_id"], unique=False)
    op.create_index("ix_hull_distance_relaxation", "hull_distance", ["relaxation_id"], unique=False)
    op.create_table(
        "decomposition",
        sa.Column("hull_distance_id", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False, comment="of the phase in its set"),
        sa.Column("phase_set_id", sa.BigInteger(), nullable=False),
        sa.Column("atomic_fraction", sa.Double(), nullable=False),
        sa.CheckConstraint(
            "atomic_fraction > 0 AND atomic_fraction <= 1.000001",
            name=op.f("ck_decomposition_atomic_fraction_is_a_share"),
        ),
        sa.ForeignKeyConstraint(
            ["hull_distance_id", "phase_set_id"],
            ["hull_distance.id", "hull_distance.phase_set_id"],
            name=op.f("fk_decomposition_hull_distance_id_phase_set_id"),
        ),
        sa.ForeignKeyConstraint(
            ["phase_set_id", "position"],
            ["phase_set_member.phase_set_id", "phase_set_member.position"],
            name=op.f("fk_decomposition_phase_set_id_position"),
        ),
        sa.PrimaryKeyConstraint("hull_distance_id", "position", name=op.f("pk_decomposition")),
    )
