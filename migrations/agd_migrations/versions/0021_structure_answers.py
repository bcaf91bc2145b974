"""What a model of structures answers stands beside what templates proposed and potentials made of it.

Revision ID: 0021
Revises: 0020
"""

from importlib import import_module

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

_STABILITY = import_module("agd_migrations.versions.0017_stability")

V_STRUCTURE_CANDIDATE = """
CREATE OR REPLACE VIEW v_structure_candidate AS
SELECT c.reduced_formula, s.rank, e.reduced_formula AS template, s.mapping, s.distance, q.plugin AS templates,
       q.plugin_version AS templates_version, p.plugin AS potential, p.version AS potential_version,
       p.weights_sha256, r.outcome, r.energy_ev_per_atom, r.n_steps, r.volume_ratio, r.reason,
       h.e_form_ev_per_atom, h.e_above_hull_ev_per_atom, h.products,
       q.composition_id, q.id AS search_id, s.structure_id, s.template_id, r.id AS relaxation_id,
       r.structure_id AS relaxed_id, h.hull_distance_id, p.id AS potential_id, q.activity_id,
       (SELECT min(w.entry COLLATE "C") FROM structure_row w WHERE w.structure_id = s.template_id) AS template_entry,
       y.model, y.model_version_id, y.value AS model_e_form_ev_per_atom, z.value AS model_relaxed_e_form_ev_per_atom
FROM template_search q
JOIN composition c ON c.id = q.composition_id
JOIN structure_candidate s ON s.search_id = q.id
JOIN structure t ON t.id = s.template_id
JOIN composition e ON e.id = t.composition_id
LEFT JOIN relaxation r ON r.from_id = s.structure_id
LEFT JOIN potential p ON p.id = r.potential_id
LEFT JOIN LATERAL (SELECT * FROM v_hull_distance d
                   WHERE d.relaxation_id = r.id AND d.is_newest OFFSET 0) h ON true
LEFT JOIN LATERAL (SELECT m.plugin AS model, m.id AS model_version_id, l.value
                   FROM label l JOIN model_version m ON m.id = l.model_version_id
                   WHERE l.structure_id = s.structure_id AND l.property = 'formation_energy'
                     AND NOT EXISTS (SELECT FROM retraction x WHERE x.label_id = l.id)
                   ORDER BY m.id DESC LIMIT 1) y ON true
LEFT JOIN LATERAL (SELECT l.value FROM label l
                   WHERE l.structure_id = r.structure_id AND l.property = 'formation_energy'
                     AND l.model_version_id = y.model_version_id
                     AND NOT EXISTS (SELECT FROM retraction x WHERE x.label_id = l.id)) z ON true
"""


def upgrade() -> None:
    op.execute(V_STRUCTURE_CANDIDATE)


def downgrade() -> None:
    op.execute("DROP VIEW v_structure_candidate")
    op.execute(_STABILITY.V_STRUCTURE_CANDIDATE)
