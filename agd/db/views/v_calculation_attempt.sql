-- Every attempt at a calculation: of what, where, what it took, and what it failed of, if it did. One that died without
-- a word was cut off.
CREATE OR REPLACE VIEW v_calculation_attempt AS
SELECT k.reduced_formula, c.chemical_system, k.engine, k.method, k.kind, x.part, a.outcome,
       CASE a.outcome WHEN 'failed' THEN coalesce(x.outcome_class, 'program')
                      WHEN 'lost' THEN coalesce(x.outcome_class, 'cut off') END AS failure,
       a.error, a.error_class, x.corrections, a.host, a.cpu, x.n_cores, x.core_seconds, x.wall_seconds, x.memory_bytes,
       x.code_version, x.folder, a.started_at, a.ended_at, k.campaign, k.recipe_sha256, k.calculation_id,
       k.structure_id, k.composition_id, k.job_id, x.activity_id
FROM calculation_attempt x
JOIN activity a ON a.id = x.activity_id
JOIN v_calculation k ON k.calculation_id = x.calculation_id
JOIN composition c ON c.id = k.composition_id;
