-- Phonons, one row per calculation of them. Its structure is the lowest where no other that the same potential or
-- recipe relaxed of the composition is more than 1 meV/atom below it.
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
JOIN activity a ON a.id = x.activity_id;
