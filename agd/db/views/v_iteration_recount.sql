-- What the suggestions of each iteration come to, counted as they stand now: the counters, highest and lowest of the
-- results, and the best of them, the first in the order of agd.db.plausible_labels.
CREATE OR REPLACE VIEW v_iteration_recount AS
SELECT i.id AS iteration_id, i.campaign_id,
       count(s.suggestion_id) AS n_suggested,
       count(*) FILTER (WHERE s.outcome = 'undecodable') AS n_undecodable,
       count(*) FILTER (WHERE s.outcome <> 'undecodable') AS n_decodable,
       count(*) FILTER (WHERE s.outcome = 'duplicate') AS n_duplicate,
       count(*) FILTER (WHERE s.outcome = 'known') AS n_known,
       count(*) FILTER (WHERE s.outcome IN ('rejected', 'unanswered')) AS n_rejected,
       count(*) FILTER (WHERE s.outcome = 'new' AND s.label_id IS NOT NULL) AS n_new,
       count(*) FILTER (WHERE s.is_charged) AS n_charged,
       count(*) FILTER (WHERE s.is_result AND s.is_find) AS n_finds,
       count(*) FILTER (WHERE s.is_result AND s.is_find AND s.is_known) AS n_known_finds,
       max(s.value) FILTER (WHERE s.is_result) AS highest,
       min(s.value) FILTER (WHERE s.is_result) AS lowest,
       (array_agg(s.value ORDER BY s.is_feasible DESC, agd_objective(k.target_low, k.target_high, s.value) DESC, s.rank)
        FILTER (WHERE s.is_result))[1] AS best,
       bool_or(s.is_feasible) FILTER (WHERE s.is_result) AS is_best_feasible
FROM iteration i
JOIN campaign k ON k.id = i.campaign_id
LEFT JOIN v_suggestion_judged s ON s.iteration_id = i.id
GROUP BY i.id;
