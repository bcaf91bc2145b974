-- One row per campaign: the counters of its iterations added up, and how it stands.
CREATE OR REPLACE VIEW v_campaign_progress AS
SELECT k.name AS campaign, k.property, p.unit, k.target_low, k.target_high, k.mode, b.calls AS budget_calls,
       count(*) FILTER (WHERE i.is_recorded) AS n_iterations,
       coalesce(sum(i.n_suggested), 0)::bigint AS n_suggested,
       coalesce(sum(i.n_undecodable), 0)::bigint AS n_undecodable,
       coalesce(sum(i.n_decodable), 0)::bigint AS n_decodable,
       coalesce(sum(i.n_duplicate), 0)::bigint AS n_duplicate,
       coalesce(sum(i.n_known), 0)::bigint AS n_known,
       coalesce(sum(i.n_rejected), 0)::bigint AS n_rejected,
       coalesce(sum(i.n_new), 0)::bigint AS n_new,
       coalesce(sum(i.n_charged), 0)::bigint AS n_charged,
       coalesce(sum(i.n_finds), 0)::bigint AS n_finds,
       round(sum(i.n_finds) / nullif(sum(i.n_charged), 0), 4) AS finds_per_call,
       max(i.highest) AS highest, min(i.lowest) AS lowest, t.name AS twin_of,
       k.created_at, k.stop_requested_at, k.ended_at, k.end_reason, k.id AS campaign_id,
       coalesce(sum(i.n_known_finds), 0)::bigint AS n_known_finds, b.calls_at_first AS budget_calls_at_first,
       (array_agg(i.best ORDER BY i.is_best_feasible DESC, agd_objective(k.target_low, k.target_high, i.best) DESC,
                                  i.iteration) FILTER (WHERE i.best IS NOT NULL))[1] AS best
FROM campaign k
JOIN v_campaign_budget b ON b.campaign_id = k.id
JOIN property p ON p.name = k.property
LEFT JOIN campaign t ON t.id = k.twin_of_id
LEFT JOIN v_iteration i ON i.campaign_id = k.id
GROUP BY k.id, k.name, p.name, t.name, b.calls, b.calls_at_first;
