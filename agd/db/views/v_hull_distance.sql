-- Where energies stand above the hull of phases of one method: negative below it, 0 on it. One stands while neither its
-- label nor one that a phase rests on is retracted; of several of one energy the newest set of phases speaks.
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
    JOIN composition e ON e.id = f.composition_id WHERE o.hull_distance_id = h.id) d;
