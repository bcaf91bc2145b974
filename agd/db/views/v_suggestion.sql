-- One row per suggestion, for people: what was proposed where, what became of it and what it counts for; value and
-- expectation are of the first property, v_suggestion_property has all. What is not asked for is not joined, and
-- what is asked by comes first: beyond eight joins the planner keeps the order. The expectation is that of v_expectation.
CREATE OR REPLACE VIEW v_suggestion AS
SELECT k.name AS campaign, i.number AS iteration, s.rank, s.outcome, s.reason, f.reason AS decode_failure,
       c.reduced_formula, s.value, s.uncertainty, p.unit, s.is_find, s.is_retracted, s.is_charged,
       s.proposed, s.posterior_mean, s.posterior_sd, s.acquisition,
       a.seed, a.started_at AS suggested_at, a.agd_version, a.host,
       m.tensors_sha256 AS autoencoder_sha256,
       s.suggestion_id, s.campaign_id, s.iteration_id, s.latent_id, s.composition_id, s.label_id, s.activity_id,
       s.is_result, s.is_awaited, s.is_known,
       coalesce(q.mean, CASE WHEN num_nonnulls(k.target_low, k.target_high) = 1
                             THEN CASE WHEN k.target_low IS NULL THEN -s.posterior_mean ELSE s.posterior_mean END END)
           AS expected,
       coalesce(q.sd, CASE WHEN num_nonnulls(k.target_low, k.target_high) = 1 AND s.posterior_mean IS NOT NULL
                           THEN s.posterior_sd END) AS expected_sd, s.is_feasible
FROM v_suggestion_judged s
LEFT JOIN campaign k ON k.id = s.campaign_id
LEFT JOIN composition c ON c.id = s.composition_id
LEFT JOIN property p ON p.name = k.property
LEFT JOIN iteration i ON i.id = s.iteration_id
LEFT JOIN activity a ON a.id = s.activity_id
LEFT JOIN latent z ON z.id = s.latent_id
LEFT JOIN model_version m ON m.id = z.model_version_id
LEFT JOIN decode_failure f ON f.suggestion_id = s.suggestion_id
LEFT JOIN suggestion_expectation q ON q.suggestion_id = s.suggestion_id AND q.position = 1;
