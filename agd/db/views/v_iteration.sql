-- One row per iteration: its counters, the highest and lowest of its results, and whether it is recorded. They are those
-- that were kept when it was recorded, and whenever something was said of it since; else they are counted anew.
CREATE OR REPLACE VIEW v_iteration AS
SELECT k.name AS campaign, i.number AS iteration,
       coalesce(n.n_suggested, t.n_suggested) AS n_suggested,
       coalesce(n.n_undecodable, t.n_undecodable) AS n_undecodable,
       coalesce(n.n_decodable, t.n_decodable) AS n_decodable,
       coalesce(n.n_duplicate, t.n_duplicate) AS n_duplicate,
       coalesce(n.n_known, t.n_known) AS n_known,
       coalesce(n.n_rejected, t.n_rejected) AS n_rejected,
       coalesce(n.n_new, t.n_new) AS n_new,
       coalesce(n.n_charged, t.n_charged) AS n_charged,
       coalesce(n.n_finds, t.n_finds) AS n_finds,
       CASE WHEN n.iteration_id IS NULL THEN t.highest ELSE n.highest END AS highest,
       CASE WHEN n.iteration_id IS NULL THEN t.lowest ELSE n.lowest END AS lowest,
       (t.iteration_id IS NOT NULL
        OR EXISTS (SELECT FROM activity a WHERE a.iteration_id = i.id AND a.kind = 'record' AND a.outcome = 'done'))
           AS is_recorded,
       i.id AS iteration_id, i.campaign_id,
       coalesce(n.n_known_finds, t.n_known_finds) AS n_known_finds,
       CASE WHEN n.iteration_id IS NULL THEN t.best ELSE n.best END AS best,
       CASE WHEN n.iteration_id IS NULL THEN t.is_best_feasible ELSE n.is_best_feasible END AS is_best_feasible
FROM iteration i
JOIN campaign k ON k.id = i.campaign_id
LEFT JOIN iteration_tally t ON t.iteration_id = i.id
     AND NOT EXISTS (SELECT FROM iteration_tally l WHERE l.iteration_id = t.iteration_id AND l.number > t.number)
LEFT JOIN v_iteration_changes x ON x.iteration_id = i.id
LEFT JOIN LATERAL (SELECT * FROM v_iteration_recount r WHERE r.iteration_id = i.id
                   AND t.n_changes IS DISTINCT FROM coalesce(x.n, 0) OFFSET 0) n ON true;
