-- One row per iteration: its counters, the highest and lowest of its results, and whether it is recorded.
CREATE OR REPLACE VIEW v_iteration AS
SELECT k.name AS campaign, i.number AS iteration,
       count(s.suggestion_id) AS n_suggested,
       count(*) FILTER (WHERE s.outcome = 'undecodable') AS n_undecodable,
       count(*) FILTER (WHERE s.outcome <> 'undecodable') AS n_decodable,
       count(*) FILTER (WHERE s.outcome = 'duplicate') AS n_duplicate,
       count(*) FILTER (WHERE s.outcome = 'known') AS n_known,
       count(*) FILTER (WHERE s.outcome IN ('rejected', 'unanswered')) AS n_rejected,
       count(*) FILTER (WHERE s.outcome = 'new' AND s.label_id IS NOT NULL) AS n_new,
       count(*) FILTER (WHERE s.is_charged) AS n_charged,
       count(*) FILTER (WHERE s.is_result AND s.is_find) AS n_finds,
       max(s.value) FILTER (WHERE s.is_result) AS highest,
       min(s.value) FILTER (WHERE s.is_result) AS lowest,
       EXISTS (SELECT FROM activity a WHERE a.iteration_id = i.id AND a.kind = 'record' AND a.outcome = 'done')
           AS is_recorded,
       i.id AS iteration_id, i.campaign_id,
       count(*) FILTER (WHERE s.is_result AND s.is_find AND s.is_known) AS n_known_finds
FROM iteration i
JOIN campaign k ON k.id = i.campaign_id
LEFT JOIN v_suggestion_judged s ON s.iteration_id = i.id AND s.campaign_id = i.campaign_id
GROUP BY k.id, i.id;
