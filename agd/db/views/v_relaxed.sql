-- Structures as something relaxed them, with what energy: a potential, or a calculation by a recipe. Energies compare
-- where potential and recipe are the same.
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
JOIN calculation_energy e ON e.calculation_id = k.id AND e.part = 0;
