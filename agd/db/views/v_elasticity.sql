-- Elastic constants in GPa with the averages of Voigt, Reuss and Hill (10.1088/0370-1298/65/5/307) over crystals in all
-- directions; NULL those of Reuss and Hill where the constants have no inverse. Anisotropy is the universal one
-- (10.1103/PhysRevLett.101.055504), 0 of an isotropic crystal.
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
           (v.shear_voigt_gpa + v.shear_reuss_gpa) / 2 AS shear_hill_gpa) h;
