-- Who is at work: running attempts at jobs, and until when nobody else may take them.
CREATE OR REPLACE VIEW v_lease AS
SELECT k.name AS campaign, a.kind AS step, i.number AS iteration, a.id AS token, a.host, a.pid, a.fw_id, a.launch_id,
       a.started_at, a.lease_expires_at, a.lease_expires_at < clock_timestamp() AS is_expired,
       a.campaign_id, a.iteration_id, j.title, a.job_id
FROM activity a
JOIN job j ON j.id = a.job_id
LEFT JOIN campaign k ON k.id = a.campaign_id
LEFT JOIN iteration i ON i.id = a.iteration_id
WHERE a.outcome = 'running';
