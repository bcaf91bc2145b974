-- What each suggestion counts for: whether the label of the campaign's first property lies in its target and those of
-- all further properties in theirs (is_find; is_feasible says the latter alone), whether it costs a call (is_charged),
-- whether it is a distinct composition with a label that stands and can be a value (is_result), and whether it waits
-- for an answer (is_awaited): where answers come from outside, a composition that somebody has measured waits no more.
-- A find that counts is is_result AND is_find. agd.target and agd.accounting say the same in Python. A composition
-- is_known that stands in a dataset of what the campaign takes for known.
CREATE OR REPLACE VIEW v_suggestion_judged AS
SELECT s.*, l.value, l.uncertainty, x.label_id IS NOT NULL AS is_retracted,
       (agd_is_met(k.property, k.target_low, k.target_high, l.value) AND x.label_id IS NULL AND f.is_feasible)
           AS is_find,
       (s.label_id IS NOT NULL AND (s.outcome = 'new' OR k.mode = 'paper')) AS is_charged,
       coalesce(s.outcome = 'new' AND x.label_id IS NULL AND agd_is_plausible(k.property, l.value), false) AS is_result,
       coalesce(s.outcome = 'new' AND s.label_id IS NULL
                AND (k.spec #>> '{oracle,kind}' IS DISTINCT FROM 'external' OR NOT EXISTS (
                    SELECT FROM label m WHERE m.composition_id = s.composition_id AND m.property = k.property
                    AND m.measurement_id IS NOT NULL
                    AND NOT EXISTS (SELECT FROM retraction w WHERE w.label_id = m.id))), false) AS is_awaited,
       EXISTS (SELECT FROM v_known_dataset d JOIN dataset_row r ON r.dataset_id = d.dataset_id
               WHERE d.campaign_id = s.campaign_id AND r.composition_id = s.composition_id) AS is_known,
       f.is_feasible
FROM v_suggestion_state s
JOIN campaign k ON k.id = s.campaign_id
LEFT JOIN label l ON l.id = s.label_id
LEFT JOIN retraction x ON x.label_id = s.label_id
CROSS JOIN LATERAL (SELECT NOT EXISTS (
    SELECT FROM campaign_target t WHERE t.campaign_id = s.campaign_id AND NOT EXISTS (
        SELECT FROM suggestion_label g JOIN label m ON m.id = g.label_id AND m.property = t.property
        WHERE g.suggestion_id = s.suggestion_id AND g.position = t.position
        AND agd_is_met(t.property, t.low, t.high, m.value)
        AND NOT EXISTS (SELECT FROM retraction w WHERE w.label_id = m.id))) AS is_feasible) f;
