-- The labels each model learned from, and in which iteration of which campaign it got them: also of a label that was
-- replaced since.
CREATE OR REPLACE VIEW v_training_label AS
SELECT m.id AS model_version_id, m.kind, m.plugin, m.tensors_sha256, q.is_held_out,
       c.reduced_formula, l.property, l.value, l.uncertainty,
       CASE WHEN d.id IS NOT NULL THEN 'dataset' WHEN l.model_version_id IS NOT NULL THEN 'oracle'
            ELSE 'measurement' END AS source_kind,
       d.name AS dataset, k.name AS campaign, first.iteration,
       t.id AS training_set_id, l.composition_id, l.id AS label_id, q.is_validation, l.structure_id
FROM model_version m
JOIN training_set t ON t.id = m.training_set_id
JOIN (SELECT training_set_id, label_id, is_held_out, is_validation FROM training_set_member
      UNION ALL SELECT training_set_id, label_id, is_held_out, is_validation FROM training_structure) q
     ON q.training_set_id = t.id
JOIN label l ON l.id = q.label_id
JOIN composition c ON c.id = l.composition_id
LEFT JOIN structure_row w ON w.id = l.structure_row_id
LEFT JOIN dataset d ON d.id = coalesce(l.dataset_id, w.dataset_id)
LEFT JOIN LATERAL (
    SELECT s.campaign_id, i.number AS iteration FROM (
        SELECT id FROM suggestion WHERE label_id = l.id
        UNION ALL SELECT suggestion_id FROM label_replacement WHERE label_id = l.id
    ) used
    JOIN suggestion s ON s.id = used.id
    JOIN training_set_campaign g ON g.training_set_id = t.id AND g.campaign_id = s.campaign_id
    JOIN iteration i ON i.id = s.iteration_id
    WHERE s.outcome = 'new' ORDER BY i.number LIMIT 1
) first ON true
LEFT JOIN campaign k ON k.id = first.campaign_id;
