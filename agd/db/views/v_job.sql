-- What is due, held, at work or done: one row per job. Of attempts that are forgiven, only n_attempts and the last
-- error know.
CREATE OR REPLACE VIEW v_job AS
SELECT j.id, j.title, j.kind, k.name AS campaign, j.iteration,
       CASE WHEN at_work.activity_id IS NOT NULL THEN 'running'
            WHEN j.state = 'open' AND EXISTS (SELECT FROM job_after w JOIN job b ON b.id = w.waits_for_id
                                              WHERE w.job_id = j.id AND b.state <> 'done') THEN 'waiting'
            ELSE j.state END AS state,
       j.reason, j.priority, j.n_cores, j.hours, j.programs,
       tried.n_attempts, tried.n_failed, tried.n_lost, final.error AS last_error, final.error_class AS last_error_class,
       at_work.host, at_work.pid, at_work.fw_id, at_work.started_at AS since, at_work.lease_expires_at,
       j.not_before, j.made_at, j.campaign_id, at_work.activity_id
FROM job j
LEFT JOIN campaign k ON k.id = j.campaign_id
LEFT JOIN LATERAL (SELECT count(*) AS n_attempts,
                          count(*) FILTER (WHERE t.is_counted AND t.outcome = 'failed') AS n_failed,
                          count(*) FILTER (WHERE t.is_counted AND t.outcome = 'lost') AS n_lost
                   FROM v_attempt t WHERE t.job_id = j.id) tried ON true
LEFT JOIN LATERAL (SELECT t.error, t.error_class FROM v_attempt t
                   WHERE t.job_id = j.id AND t.outcome = 'failed' ORDER BY t.activity_id DESC LIMIT 1) final ON true
LEFT JOIN LATERAL (SELECT a.id AS activity_id, a.host, a.pid, a.fw_id, a.started_at, a.lease_expires_at FROM activity a
                   WHERE a.job_id = j.id AND a.outcome = 'running') at_work ON true;
