-- What filters refused, a sample by reason; how many in all, where the reason is a stage of its own.
CREATE OR REPLACE VIEW v_rejection AS
SELECT k.name AS campaign, i.number AS iteration, a.kind AS activity, s.pool, d.name AS generation, r.reason,
       r.reduced_formula, (SELECT max(t.n_in - t.n_left) FROM stage t
                           WHERE t.activity_id = r.activity_id AND t.name = 'without: ' || r.reason) AS n_refused,
       a.started_at AS refused_at, a.agd_version, a.host, r.activity_id, k.id AS campaign_id, a.iteration_id
FROM rejection_sample r
JOIN activity a ON a.id = r.activity_id
LEFT JOIN LATERAL (SELECT min(g.source) AS pool, min(g.campaign_id) AS campaign_id FROM screening g
                   WHERE g.activity_id = r.activity_id) s ON true
LEFT JOIN dataset d ON d.activity_id = r.activity_id
LEFT JOIN campaign k ON k.id = coalesce(a.campaign_id, s.campaign_id)
LEFT JOIN iteration i ON i.id = a.iteration_id;
