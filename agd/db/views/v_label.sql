-- One row per label: what it says, which one source it has, by which method, and whether it was retracted and why. The
-- method is that of its source: of its dataset, or whatever measures or models stand for. One with a structure is of
-- that structure, not of the composition; a model's answer has the correction scheme of what it learned from.
CREATE OR REPLACE VIEW v_label AS
SELECT l.id AS label_id, c.reduced_formula, l.property, l.value, p.unit, l.uncertainty,
       CASE WHEN d.id IS NOT NULL THEN 'dataset' WHEN l.model_version_id IS NOT NULL THEN 'oracle'
            WHEN l.calculation_id IS NOT NULL THEN 'calculation' ELSE 'measurement' END AS source_kind,
       coalesce(d.name, m.plugin, e.operator, q.engine) AS source,
       coalesce(d.source_sha256, m.tensors_sha256, q.sha256) AS source_sha256,
       coalesce(w.line, r.line) AS source_line, r.formula AS source_formula,
       e.measured_on, e.replicate, e.note,
       x.label_id IS NOT NULL AS is_retracted, x.reason AS retraction_reason, b.started_at AS retracted_at,
       a.kind AS activity, a.started_at, a.agd_version, a.host,
       l.composition_id, l.dataset_id, l.model_version_id, l.measurement_id, l.activity_id,
       t.name AS method, t.kind AS method_kind, t.fidelity,
       l.structure_id, w.entry AS source_entry, coalesce(d.correction_scheme, m.correction_scheme) AS correction_scheme
FROM label l
LEFT JOIN retraction x ON x.label_id = l.id
JOIN composition c ON c.id = l.composition_id
JOIN property p ON p.name = l.property
JOIN activity a ON a.id = l.activity_id
LEFT JOIN structure_row w ON w.id = l.structure_row_id
LEFT JOIN dataset d ON d.id = coalesce(l.dataset_id, w.dataset_id)
LEFT JOIN dataset_row r ON r.dataset_id = d.id AND r.composition_id = l.composition_id
LEFT JOIN model_version m ON m.id = l.model_version_id
LEFT JOIN measurement e ON e.id = l.measurement_id
LEFT JOIN calculation k ON k.id = l.calculation_id
LEFT JOIN calculation_recipe q ON q.id = k.recipe_id
JOIN method t ON t.name = CASE WHEN d.id IS NOT NULL THEN d.method
                               WHEN l.model_version_id IS NOT NULL THEN 'model'
                               WHEN k.id IS NOT NULL THEN q.method ELSE 'measured' END
LEFT JOIN activity b ON b.id = x.activity_id;
