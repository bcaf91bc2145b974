"""Phonons of a potential alone lift no claim above what first principles say.

Revision ID: 0027
Revises: 0026
"""

from importlib import import_module

from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

_CALCULATIONS = import_module("agd_migrations.versions.0019_calculations")

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
       e.has_stable_phonons, e.has_stable_dft_phonons
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
               AS has_stable_phonons,
           EXISTS (SELECT FROM v_phonons x JOIN calculation_recipe o ON o.id = x.recipe_id AND o.potential_id IS NULL
                   WHERE x.composition_id = c.id AND x.n_imaginary = 0 AND x.is_lowest) AS has_stable_dft_phonons) e
LEFT JOIN LATERAL (SELECT t.id, t.n_proposed FROM template_search t WHERE t.composition_id = c.id
                   ORDER BY t.id DESC LIMIT 1) q ON true
LEFT JOIN LATERAL (SELECT h.e_above_hull_ev_per_atom, h.method AS potential FROM v_hull_distance h
                   WHERE h.composition_id = c.id AND h.method_kind = 'potential' AND h.is_standing AND h.is_newest
                   ORDER BY h.e_above_hull_ev_per_atom, h.hull_distance_id LIMIT 1) p ON true
CROSS JOIN LATERAL (SELECT min(h.e_above_hull_ev_per_atom) AS dft_e_above_hull_ev_per_atom FROM v_hull_distance h
                    WHERE h.composition_id = c.id AND h.method_kind = 'dft' AND h.is_standing AND h.is_newest) d
CROSS JOIN LATERAL (
    SELECT CASE WHEN e.is_measured THEN 8 WHEN e.has_stable_dft_phonons THEN 7
                WHEN e.has_stable_phonons AND d.dft_e_above_hull_ev_per_atom <= 0.05 THEN 7
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


def upgrade() -> None:
    """Tell phonons of first principles apart."""
    op.execute(V_CLAIM)


def downgrade() -> None:
    """Go back."""
    op.execute("DROP VIEW v_claim")
    op.execute(_CALCULATIONS.V_CLAIM)
