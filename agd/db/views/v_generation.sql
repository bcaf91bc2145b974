-- One row per generation: which model drew it, with which seed, how much and how long.
CREATE OR REPLACE VIEW v_generation AS
SELECT d.name AS generation, m.plugin AS generator, m.tensors_sha256 AS generator_sha256, g.seed, g.first_sample,
       g.n_samples, a.started_at AS generated_at, a.ended_at - a.started_at AS duration, a.agd_version, a.host,
       g.dataset_id, g.model_version_id, d.activity_id
FROM generation g
JOIN dataset d ON d.id = g.dataset_id
JOIN model_version m ON m.id = g.model_version_id
JOIN activity a ON a.id = d.activity_id;
