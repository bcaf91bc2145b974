-- How sure each suggestion is: mean and lower bound, one standard deviation below it, of the label that stands; its
-- class of novelty, `known formula`, `one substitution` from a known one (that of `analogue`) or `new family`; and what
-- is known: the datasets that the campaign takes for known, with the day of each.
CREATE OR REPLACE VIEW v_sureness AS
SELECT s.suggestion_id, s.campaign_id, s.composition_id, b.mean, b.uncertainty, b.mean - b.uncertainty AS lower_bound,
       CASE WHEN s.composition_id IS NULL OR q.reference IS NULL THEN NULL WHEN s.is_known THEN 'known formula'
            WHEN n.analogue IS NULL THEN 'new family' ELSE 'one substitution' END AS novelty,
       n.analogue, q.reference
FROM v_suggestion_judged s
CROSS JOIN LATERAL (SELECT CASE WHEN NOT s.is_retracted THEN s.value END AS mean,
                           CASE WHEN NOT s.is_retracted THEN s.uncertainty END AS uncertainty) b
CROSS JOIN LATERAL (
    SELECT CASE WHEN NOT s.is_known THEN agd_analogue(s.campaign_id, s.composition_id) END AS analogue OFFSET 0) n
CROSS JOIN LATERAL (
    SELECT string_agg(d.name || ' of ' || to_char(a.started_at, 'YYYY-MM-DD'), ', ' ORDER BY d.name COLLATE "C")
           AS reference
    FROM v_known_dataset k JOIN dataset d ON d.id = k.dataset_id JOIN activity a ON a.id = d.activity_id
    WHERE k.campaign_id = s.campaign_id) q;
