-- What samplers expected of suggestions, in the property's unit: as they said, or of a first property with one bound
-- from the posterior of the objective. Of a window that says a distance, which is no value of the property.
CREATE OR REPLACE VIEW v_expectation AS
SELECT suggestion_id, position, mean, sd FROM suggestion_expectation
UNION ALL
SELECT s.id, 1, CASE WHEN k.target_low IS NULL THEN -s.posterior_mean ELSE s.posterior_mean END, s.posterior_sd
FROM suggestion s JOIN campaign k ON k.id = s.campaign_id
WHERE s.posterior_mean IS NOT NULL AND num_nonnulls(k.target_low, k.target_high) = 1;
