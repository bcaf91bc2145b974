-- What screeners picked: each hit with its place in the pool, and the model that picked it.
CREATE OR REPLACE VIEW v_screening_hit AS
SELECT k.name AS campaign, g.role, h.rank, c.reduced_formula, h.value, p.unit, h.uncertainty,
       g.source AS pool, h.line AS pool_line, h.formula AS pool_formula, g.source_sha256 AS pool_sha256,
       m.plugin AS screener, m.tensors_sha256 AS screener_sha256, a.started_at AS screened_at, a.agd_version, a.host,
       g.id AS screening_id, g.campaign_id, g.model_version_id, h.composition_id, g.activity_id
FROM screening_hit h
JOIN screening g ON g.id = h.screening_id
LEFT JOIN campaign k ON k.id = g.campaign_id
JOIN composition c ON c.id = h.composition_id
JOIN model_version m ON m.id = g.model_version_id
JOIN property p ON p.name = m.property
JOIN activity a ON a.id = g.activity_id;
