-- The key of the job that a campaign's step is: agd.db.record.jobs.of_step.
CREATE OR REPLACE FUNCTION agd_step_key(campaign_name text, kind text, iteration integer) RETURNS text LANGUAGE sql STABLE AS $$
SELECT encode(sha256(convert_to(concat_ws(chr(31), 'step', $1, $2, coalesce($3::text, '')), 'UTF8')), 'hex')
$$;
