-- What models were found to be worth on datasets: on all labelled rows of one, or, of a model of structures, on a part of
-- its training set that it did not learn from.
CREATE OR REPLACE VIEW v_evaluation AS
SELECT m.kind, m.plugin, m.seed, m.tensors_sha256, e.metric, e.value, d.name AS dataset, e.n_rows,
       a.started_at AS evaluated_at, a.agd_version, a.host,
       e.model_version_id, e.dataset_id, m.training_set_id, e.activity_id, e.part
FROM (SELECT model_version_id, dataset_id, metric, value, n_rows, activity_id, 'all' AS part FROM evaluation
      UNION ALL SELECT model_version_id, dataset_id, metric, value, n_rows, activity_id, part
                FROM structure_evaluation) e
JOIN model_version m ON m.id = e.model_version_id
JOIN dataset d ON d.id = e.dataset_id
JOIN activity a ON a.id = e.activity_id;
