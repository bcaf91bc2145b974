-- The search, and what came after its steps: retractions of labels it used, labels told anew, reasons for giving up,
-- screenings with what they learned from and their hits, amendments that no step has followed.
CREATE OR REPLACE FUNCTION agd_content_hash_v3_with_later(campaign_name text) RETURNS text LANGUAGE sql STABLE AS $$
WITH k AS (SELECT id FROM campaign WHERE name = $1),
used AS (
    SELECT s.label_id FROM k JOIN suggestion s ON s.campaign_id = k.id WHERE s.label_id IS NOT NULL
    UNION
    SELECT r.label_id FROM k JOIN suggestion s ON s.campaign_id = k.id
    JOIN label_replacement r ON r.suggestion_id = s.id
    UNION
    SELECT x.label_id FROM k JOIN suggestion s ON s.campaign_id = k.id
    JOIN suggestion_label x ON x.suggestion_id = s.id
    UNION
    SELECT t.label_id FROM k JOIN campaign_set q ON q.campaign_id = k.id
    JOIN training_set_member t USING (training_set_id)
    UNION
    SELECT t.label_id FROM k JOIN screening g ON g.campaign_id = k.id JOIN model_version m ON m.id = g.model_version_id
    JOIN training_set_member t ON t.training_set_id = m.training_set_id
),
line AS (
    SELECT json_build_array('search', agd_content_hash_v3($1))::text AS line FROM k
    UNION ALL
    SELECT json_build_array('amendment', a.number, a.key, a.old_value, a.new_value, a.n_steps)::text
    FROM k JOIN campaign_amendment a ON a.campaign_id = k.id AND a.n_steps >= agd_search_progress(k.id)
    UNION ALL
    SELECT json_build_array('retraction', c.reduced_formula, l.property, encode(float8send(l.value), 'hex'), encode(float8send(l.uncertainty), 'hex'),
                     coalesce(d.recipe_sha256, m.tensors_sha256), e.operator,
                     to_char(e.measured_on, 'YYYY-MM-DD'), e.replicate, x.reason)::text
    FROM used JOIN retraction x USING (label_id) JOIN label l ON l.id = x.label_id
    JOIN composition c ON c.id = l.composition_id
    LEFT JOIN dataset d ON d.id = l.dataset_id LEFT JOIN model_version m ON m.id = l.model_version_id
    LEFT JOIN measurement e ON e.id = l.measurement_id
    UNION ALL
    SELECT json_build_array('answer anew', i.number, s.rank, r.number, l.property, encode(float8send(l.value), 'hex'), encode(float8send(l.uncertainty), 'hex'),
                     coalesce(d.recipe_sha256, m.tensors_sha256), e.operator,
                     to_char(e.measured_on, 'YYYY-MM-DD'), e.replicate)::text
    FROM k JOIN suggestion s ON s.campaign_id = k.id JOIN iteration i ON i.id = s.iteration_id
    JOIN label_replacement r ON r.suggestion_id = s.id JOIN label l ON l.id = r.label_id
    LEFT JOIN dataset d ON d.id = l.dataset_id LEFT JOIN model_version m ON m.id = l.model_version_id
    LEFT JOIN measurement e ON e.id = l.measurement_id
    UNION ALL
    SELECT json_build_array('given up', i.number, s.rank, g.reason)::text
    FROM k JOIN suggestion s ON s.campaign_id = k.id JOIN iteration i ON i.id = s.iteration_id
    JOIN given_up g ON g.suggestion_id = s.id
    UNION ALL
    SELECT json_build_array('screening', g.recipe_sha256, m.recipe_sha256, m.tensors_sha256)::text
    FROM k JOIN screening g ON g.campaign_id = k.id JOIN model_version m ON m.id = g.model_version_id
    UNION ALL
    SELECT json_build_array('screener member', g.recipe_sha256, c.reduced_formula, t.is_held_out, t.is_validation,
                     l.property, encode(float8send(l.value), 'hex'), encode(float8send(l.uncertainty), 'hex'),
                     coalesce(d.recipe_sha256, m.tensors_sha256), e.operator,
                     to_char(e.measured_on, 'YYYY-MM-DD'), e.replicate)::text
    FROM k JOIN screening g ON g.campaign_id = k.id JOIN model_version v ON v.id = g.model_version_id
    JOIN training_set_member t ON t.training_set_id = v.training_set_id
    JOIN composition c ON c.id = t.composition_id LEFT JOIN label l ON l.id = t.label_id
    LEFT JOIN dataset d ON d.id = l.dataset_id LEFT JOIN model_version m ON m.id = l.model_version_id
    LEFT JOIN measurement e ON e.id = l.measurement_id
    UNION ALL
    SELECT json_build_array('stage', g.recipe_sha256, t.position, t.name, t.n_left)::text
    FROM k JOIN screening g ON g.campaign_id = k.id JOIN stage t ON t.activity_id = g.activity_id AND t.role = g.role
    UNION ALL
    SELECT json_build_array('hit', g.recipe_sha256, h.rank, c.reduced_formula, h.line, h.formula, encode(float8send(h.value), 'hex'),
                     encode(float8send(h.uncertainty), 'hex'))::text
    FROM k JOIN screening g ON g.campaign_id = k.id JOIN screening_hit h ON h.screening_id = g.id
    JOIN composition c ON c.id = h.composition_id
)
SELECT encode(sha256(convert_to(string_agg(line, E'\n' ORDER BY line COLLATE "C"), 'UTF8')), 'hex') FROM line
$$;
