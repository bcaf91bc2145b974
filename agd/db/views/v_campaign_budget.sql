-- How many calls a campaign may spend: as many as it was opened with, or as its last amendment says.
CREATE OR REPLACE VIEW v_campaign_budget AS
SELECT k.id AS campaign_id, k.name AS campaign, coalesce(a.new_value, k.budget_calls) AS calls,
       k.budget_calls AS calls_at_first, coalesce(a.number, 0) AS n_amendments
FROM campaign k
LEFT JOIN LATERAL (SELECT m.number, m.new_value FROM campaign_amendment m
                   WHERE m.campaign_id = k.id ORDER BY m.number DESC LIMIT 1) a ON true;
