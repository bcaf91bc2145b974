-- One row per suggestion, for people: what was proposed where, what became of it and what it counts for; value and
-- expectation are of the first property, v_suggestion_property has all.
CREATE OR REPLACE VIEW v_suggestion AS
SELECT k.name AS campaign, i.number AS iteration, s.rank, s.outcome, s.reason, f.reason AS decode_failure,
       c.reduced_formula, s.value, s.uncertainty, p.unit, s.is_find, s.is_retracted, s.is_charged,
       s.proposed, s.posterior_mean, s.posterior_sd, s.acquisition,
       a.seed, a.started_at AS suggested_at, a.agd_version, a.host,
       m.tensors_sha256 AS autoencoder_sha256,
       s.suggestion_id, s.campaign_id, s.iteration_id, s.latent_id, s.composition_id, s.label_id, s.activity_id,
       s.is_result, s.is_awaited, s.is_known, q.mean AS expected, q.sd AS expected_sd, s.is_feasible
FROM v_suggestion_judged s
JOIN campaign k ON k.id = s.campaign_id
JOIN property p ON p.name = k.property
JOIN iteration i ON i.id = s.iteration_id
JOIN activity a ON a.id = s.activity_id
LEFT JOIN latent z ON z.id = s.latent_id
LEFT JOIN model_version m ON m.id = z.model_version_id
LEFT JOIN composition c ON c.id = s.composition_id
LEFT JOIN decode_failure f ON f.suggestion_id = s.suggestion_id
LEFT JOIN v_expectation q ON q.suggestion_id = s.suggestion_id AND q.position = 1;
