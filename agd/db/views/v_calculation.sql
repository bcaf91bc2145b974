-- One row per calculation: of what, by which recipe, how far it is, and what its attempts took. It is done where an
-- attempt at the whole succeeded. An attempt that died left no count of its seconds.
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
    WHERE x.calculation_id = k.id) t;
