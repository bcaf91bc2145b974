-- The search alone: what its specification says but for the name, the rows it started from, its models, and what each
-- step wrote: suggestions, what became of them, their first answers. Equal rows give equal hashes under any name. What
-- came after a step is not in it: retractions, labels told anew, reasons for giving up, screenings; where they came
-- while the search went on, they show in the suggestions that followed. With a number of steps: as it was when so many
-- were done; an amendment is in it from the step that followed. Each line is a JSON array, so that no text within can
-- be taken for another field or another line.
CREATE OR REPLACE FUNCTION agd_content_hash_v3(campaign_name text, n_steps integer DEFAULT NULL) RETURNS text
LANGUAGE sql STABLE AS $$
WITH k AS (SELECT c.*, coalesce($2, agd_search_progress(c.id)) AS n FROM campaign c WHERE c.name = $1),
line AS (
    SELECT json_build_array('campaign', k.spec - 'name', k.seed, k.mode, k.property, encode(float8send(k.target_low), 'hex'),
                            encode(float8send(k.target_high), 'hex'), k.budget_calls)::text AS line FROM k
    UNION ALL
    SELECT json_build_array('end', k.end_reason)::text
    FROM k WHERE k.end_reason IS NOT NULL AND k.n >= agd_search_progress(k.id)
    UNION ALL
    SELECT json_build_array('end', a.end_reason)::text
    FROM k JOIN campaign_amendment a ON a.campaign_id = k.id AND a.n_steps = k.n WHERE a.end_reason IS NOT NULL
    UNION ALL
    SELECT json_build_array('amendment', a.number, a.key, a.old_value, a.new_value, a.n_steps)::text
    FROM k JOIN campaign_amendment a ON a.campaign_id = k.id AND a.n_steps < k.n
    UNION ALL
    SELECT json_build_array('iteration', i.number)::text
    FROM k JOIN iteration i ON i.campaign_id = k.id AND 4 * i.number + 1 <= k.n
    WHERE EXISTS (SELECT FROM activity a WHERE a.iteration_id = i.id AND a.kind = 'record' AND a.outcome = 'done')
    UNION ALL
    SELECT json_build_array('member', q.role, c.reduced_formula, t.is_held_out, t.is_validation,
                     l.property, encode(float8send(l.value), 'hex'), encode(float8send(l.uncertainty), 'hex'),
                     coalesce(d.recipe_sha256, m.tensors_sha256), e.operator,
                     to_char(e.measured_on, 'YYYY-MM-DD'), e.replicate)::text
    FROM k JOIN campaign_set q ON q.campaign_id = k.id JOIN training_set_member t USING (training_set_id)
    JOIN composition c ON c.id = t.composition_id LEFT JOIN label l ON l.id = t.label_id
    LEFT JOIN dataset d ON d.id = l.dataset_id LEFT JOIN model_version m ON m.id = l.model_version_id
    LEFT JOIN measurement e ON e.id = l.measurement_id
    UNION ALL
    SELECT json_build_array('pool', d.recipe_sha256)::text
    FROM k JOIN campaign_pool q ON q.campaign_id = k.id JOIN dataset d ON d.id = q.dataset_id
    UNION ALL
    SELECT json_build_array('known', d.recipe_sha256)::text
    FROM k JOIN campaign_known q ON q.campaign_id = k.id JOIN dataset d ON d.id = q.dataset_id
    UNION ALL
    SELECT json_build_array('model', q.role, m.recipe_sha256, m.tensors_sha256)::text
    FROM k JOIN campaign_model q ON q.campaign_id = k.id JOIN model_version m ON m.id = q.model_version_id
    WHERE k.n >= 1
    UNION ALL
    SELECT json_build_array('latent', c.reduced_formula, encode(sha256(array_send(z.vector)), 'hex'))::text
    FROM k JOIN campaign_set q ON q.campaign_id = k.id AND q.role = 'initial'
    JOIN campaign_model r ON r.campaign_id = k.id AND r.role = 'autoencoder'
    JOIN training_set_member t ON t.training_set_id = q.training_set_id
    JOIN latent z ON z.model_version_id = r.model_version_id AND z.composition_id = t.composition_id
    JOIN composition c ON c.id = t.composition_id
    WHERE k.n >= 1
    UNION ALL
    SELECT json_build_array('suggestion', i.number, s.rank, s.proposed, encode(sha256(array_send(z.vector)), 'hex'),
                     encode(float8send(s.posterior_mean), 'hex'), encode(float8send(s.posterior_sd), 'hex'), encode(float8send(s.acquisition), 'hex'),
                     CASE WHEN s.proposed = 'composition' OR 4 * i.number - 1 <= k.n THEN c.reduced_formula END,
                     CASE WHEN 4 * i.number - 1 <= k.n THEN s.outcome END,
                     CASE WHEN 4 * i.number - 1 <= k.n THEN s.reason END,
                     CASE WHEN 4 * i.number - 1 <= k.n THEN f.reason END)::text
    FROM k JOIN suggestion s ON s.campaign_id = k.id JOIN iteration i ON i.id = s.iteration_id
    LEFT JOIN latent z ON z.id = s.latent_id LEFT JOIN composition c ON c.id = s.composition_id
    LEFT JOIN decode_failure f ON f.suggestion_id = s.id
    WHERE 4 * i.number - 2 <= k.n
    UNION ALL
    SELECT json_build_array('parent', i.number, s.rank, c.reduced_formula, p.operator)::text
    FROM k JOIN suggestion s ON s.campaign_id = k.id JOIN iteration i ON i.id = s.iteration_id
    JOIN suggestion_parent p ON p.suggestion_id = s.id JOIN composition c ON c.id = p.composition_id
    WHERE 4 * i.number - 2 <= k.n
    UNION ALL
    SELECT json_build_array('answer', i.number, s.rank, l.property, encode(float8send(l.value), 'hex'), encode(float8send(l.uncertainty), 'hex'),
                     coalesce(d.recipe_sha256, m.tensors_sha256), e.operator,
                     to_char(e.measured_on, 'YYYY-MM-DD'), e.replicate)::text
    FROM k JOIN suggestion s ON s.campaign_id = k.id JOIN iteration i ON i.id = s.iteration_id
    JOIN label l ON l.id = s.label_id
    LEFT JOIN dataset d ON d.id = l.dataset_id LEFT JOIN model_version m ON m.id = l.model_version_id
    LEFT JOIN measurement e ON e.id = l.measurement_id
    WHERE 4 * i.number <= k.n
    UNION ALL
    SELECT json_build_array('further answer', i.number, s.rank, x.position, l.property, encode(float8send(l.value), 'hex'),
                     encode(float8send(l.uncertainty), 'hex'), coalesce(d.recipe_sha256, m.tensors_sha256))::text
    FROM k JOIN suggestion s ON s.campaign_id = k.id JOIN iteration i ON i.id = s.iteration_id
    JOIN suggestion_label x ON x.suggestion_id = s.id JOIN label l ON l.id = x.label_id
    LEFT JOIN dataset d ON d.id = l.dataset_id LEFT JOIN model_version m ON m.id = l.model_version_id
    WHERE 4 * i.number <= k.n
    UNION ALL
    SELECT json_build_array('no answer', i.number, s.rank)::text
    FROM k JOIN suggestion s ON s.campaign_id = k.id JOIN iteration i ON i.id = s.iteration_id
    JOIN given_up g ON g.suggestion_id = s.id
    WHERE 4 * i.number <= k.n
)
SELECT encode(sha256(convert_to(string_agg(line, E'\n' ORDER BY line COLLATE "C"), 'UTF8')), 'hex') FROM line
$$;
