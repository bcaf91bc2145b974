-- What models are worth on datasets, by metric.
CREATE OR REPLACE VIEW v_evaluation AS
SELECT m.kind, m.plugin, m.seed, m.tensors_sha256, e.metric, e.value, d.name AS dataset, e.n_rows,
       a.started_at AS evaluated_at, a.agd_version, a.host,
       e.model_version_id, e.dataset_id, m.training_set_id, e.activity_id
FROM evaluation e
JOIN model_version m ON m.id = e.model_version_id
JOIN dataset d ON d.id = e.dataset_id
JOIN activity a ON a.id = e.activity_id;
