-- Whether an amendment keeps this end of a campaign, which has gone on since.
CREATE OR REPLACE FUNCTION agd_is_undone(of_campaign bigint, ended_at timestamptz, end_reason text) RETURNS boolean
LANGUAGE sql STABLE AS $$
SELECT EXISTS (SELECT FROM campaign_amendment a
               WHERE a.campaign_id = $1 AND a.ended_at = $2 AND a.end_reason = $3)
$$;
