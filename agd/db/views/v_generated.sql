-- Which compositions each generation made, how often, and whether they are charge-neutral and electronegativity-balanced.
CREATE OR REPLACE VIEW v_generated AS
SELECT d.name AS generation, r.line AS sample, c.reduced_formula, r.formula AS generated_formula, r.n_rows AS n_samples,
       v.is_charge_neutral, v.is_electronegativity_balanced,
       m.plugin AS generator, m.tensors_sha256 AS generator_sha256, g.seed,
       r.composition_id, g.dataset_id, g.model_version_id
FROM generation g
JOIN dataset d ON d.id = g.dataset_id
JOIN dataset_row r ON r.dataset_id = g.dataset_id
JOIN composition c ON c.id = r.composition_id
JOIN model_version m ON m.id = g.model_version_id
LEFT JOIN LATERAL (
    SELECT x.is_charge_neutral, x.is_electronegativity_balanced FROM verdict x
    WHERE x.composition_id = c.id AND x.rule = 'smact-default-states' ORDER BY x.rule_version DESC LIMIT 1
) v ON true;
