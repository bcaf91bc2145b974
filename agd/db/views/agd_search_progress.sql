-- How many steps of a search are done: 1 for the latents of the rows it starts from, then four for each iteration,
-- suggested, decoded, labelled, recorded.
CREATE OR REPLACE FUNCTION agd_search_progress(of_campaign bigint) RETURNS integer LANGUAGE sql STABLE AS $$
SELECT coalesce(max(CASE a.kind WHEN 'encode' THEN 1 WHEN 'suggest' THEN 4 * i.number - 2
                    WHEN 'decode' THEN 4 * i.number - 1 WHEN 'label' THEN 4 * i.number
                    WHEN 'record' THEN 4 * i.number + 1 END), 0)
FROM activity a LEFT JOIN iteration i ON i.id = a.iteration_id
WHERE a.campaign_id = of_campaign AND a.outcome = 'done'
$$;
