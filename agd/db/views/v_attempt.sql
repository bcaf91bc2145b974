-- Every attempt at a job. Counted is what nobody has forgiven since: of a job by itself, of a campaign's steps also
-- with the whole campaign.
CREATE OR REPLACE VIEW v_attempt AS
SELECT k.name AS campaign, a.kind AS step, i.number AS iteration, a.outcome, a.error_class, a.error,
       a.started_at, a.ended_at, a.host, a.pid, a.fw_id, a.launch_id,
       a.started_at >= greatest(j.retries_from, k.retries_from) AS is_counted,
       a.id AS activity_id, a.campaign_id, a.iteration_id, j.title, a.job_id
FROM activity a
JOIN job j ON j.id = a.job_id
LEFT JOIN campaign k ON k.id = a.campaign_id
LEFT JOIN iteration i ON i.id = a.iteration_id;
