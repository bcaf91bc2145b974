-- The content hash of campaigns begun before schema 0007: as version 1, with measurements as sources, retractions and
-- screenings, and since 0012 amendments; the same where a campaign has none of them.
CREATE OR REPLACE FUNCTION agd_content_hash_v2(campaign_name text) RETURNS text LANGUAGE sql STABLE AS $$
WITH k AS (SELECT * FROM campaign WHERE name = campaign_name),
suggestion AS (
    SELECT e.*, e.suggestion_id AS id FROM v_suggestion_state e WHERE e.campaign_id = (SELECT id FROM k)
),
source AS (
    SELECT l.id, l.composition_id,
           concat_ws(' ', l.property, encode(float8send(l.value), 'hex'),
                     coalesce(encode(float8send(l.uncertainty), 'hex'), '-'),
                     coalesce(d.recipe_sha256, m.tensors_sha256,
                              concat_ws('|', 'measured', e.operator, to_char(e.measured_on, 'YYYY-MM-DD'),
                                        e.replicate)),
                     'retracted: ' || x.reason) AS line
    FROM label l LEFT JOIN dataset d ON d.id = l.dataset_id LEFT JOIN model_version m ON m.id = l.model_version_id
    LEFT JOIN measurement e ON e.id = l.measurement_id LEFT JOIN retraction x ON x.label_id = l.id
    WHERE l.id IN (SELECT label_id FROM suggestion s JOIN k ON k.id = s.campaign_id)
       OR l.id IN (SELECT t.label_id FROM training_set_member t
                   JOIN campaign_set q USING (training_set_id) JOIN k ON k.id = q.campaign_id)
       OR l.id IN (SELECT t.label_id FROM training_set_member t JOIN model_version v USING (training_set_id)
                   JOIN screening g ON g.model_version_id = v.id JOIN k ON k.id = g.campaign_id)
),
line AS (
    SELECT 'campaign ' || spec_sha256 AS line FROM k
    UNION ALL
    SELECT concat_ws(' ', 'amendment', a.number, a.key, a.old_value, a.new_value, a.n_steps)
    FROM k JOIN campaign_amendment a ON a.campaign_id = k.id
    UNION ALL
    SELECT concat_ws(' ', 'iteration', i.iteration)
    FROM v_iteration i JOIN k ON k.id = i.campaign_id WHERE i.is_recorded
    UNION ALL
    SELECT concat_ws(' ', 'member', q.role, c.reduced_formula, t.is_held_out::int, coalesce(source.line, '-'))
    FROM k JOIN campaign_set q ON q.campaign_id = k.id JOIN training_set_member t USING (training_set_id)
    JOIN composition c ON c.id = t.composition_id LEFT JOIN source ON source.id = t.label_id
    UNION ALL
    SELECT concat_ws(' ', 'model', q.role, m.recipe_sha256, m.tensors_sha256)
    FROM k JOIN campaign_model q ON q.campaign_id = k.id JOIN model_version m ON m.id = q.model_version_id
    UNION ALL
    SELECT concat_ws(' ', 'suggestion', i.number, s.rank, s.proposed, encode(sha256(array_send(z.vector)), 'hex'),
                     coalesce(encode(float8send(s.posterior_mean), 'hex'), '-'),
                     coalesce(encode(float8send(s.posterior_sd), 'hex'), '-'),
                     coalesce(encode(float8send(s.acquisition), 'hex'), '-'),
                     coalesce(s.outcome, '-'), coalesce(c.reduced_formula, '-'), coalesce(s.reason, '-'),
                     coalesce(f.reason, '-'), coalesce(source.line, '-'))
    FROM k JOIN suggestion s ON s.campaign_id = k.id JOIN iteration i ON i.id = s.iteration_id
    JOIN latent z ON z.id = s.latent_id LEFT JOIN composition c ON c.id = s.composition_id
    LEFT JOIN decode_failure f ON f.suggestion_id = s.id LEFT JOIN source ON source.id = s.label_id
    UNION ALL
    SELECT concat_ws(' ', 'screening', g.recipe_sha256, m.recipe_sha256, m.tensors_sha256)
    FROM k JOIN screening g ON g.campaign_id = k.id JOIN model_version m ON m.id = g.model_version_id
    UNION ALL
    SELECT concat_ws(' ', 'screener member', g.recipe_sha256, c.reduced_formula, t.is_held_out::int, source.line)
    FROM k JOIN screening g ON g.campaign_id = k.id JOIN model_version m ON m.id = g.model_version_id
    JOIN training_set_member t ON t.training_set_id = m.training_set_id
    JOIN composition c ON c.id = t.composition_id LEFT JOIN source ON source.id = t.label_id
    UNION ALL
    SELECT concat_ws(' ', 'stage', g.recipe_sha256, t.position, t.name, t.n_left)
    FROM k JOIN screening g ON g.campaign_id = k.id JOIN stage t ON t.activity_id = g.activity_id AND t.role = g.role
    UNION ALL
    SELECT concat_ws(' ', 'hit', g.recipe_sha256, h.rank, c.reduced_formula, h.line,
                     encode(float8send(h.value), 'hex'), encode(float8send(h.uncertainty), 'hex'))
    FROM k JOIN screening g ON g.campaign_id = k.id JOIN screening_hit h ON h.screening_id = g.id
    JOIN composition c ON c.id = h.composition_id
)
SELECT encode(sha256(convert_to(string_agg(line, E'\n' ORDER BY line COLLATE "C"), 'UTF8')), 'hex') FROM line
$$;
