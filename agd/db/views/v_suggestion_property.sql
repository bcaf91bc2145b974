-- One row per suggestion and property sought: what its label says, whether that meets the target (is_met), and what the
-- sampler expected, in the property's unit. Only a label that stands and can be a value meets anything, or has an
-- objective, which is the larger the better.
CREATE OR REPLACE VIEW v_suggestion_property AS
SELECT t.campaign, i.number AS iteration, s.rank, s.outcome, c.reduced_formula, t.position, t.property, l.value,
       l.uncertainty, t.unit, t.low, t.high, x.label_id IS NOT NULL AS is_retracted,
       coalesce(x.label_id IS NULL AND agd_is_met(t.property, t.low, t.high, l.value), false) AS is_met,
       CASE WHEN x.label_id IS NULL AND agd_is_plausible(t.property, l.value)
            THEN agd_objective(t.low, t.high, l.value) END AS objective,
       q.mean AS expected, q.sd AS expected_sd,
       s.suggestion_id, s.campaign_id, s.composition_id, l.id AS label_id
FROM v_suggestion_state s
JOIN iteration i ON i.id = s.iteration_id
JOIN v_campaign_target t ON t.campaign_id = s.campaign_id
LEFT JOIN composition c ON c.id = s.composition_id
LEFT JOIN suggestion_label f ON f.suggestion_id = s.suggestion_id AND f.position = t.position
LEFT JOIN label l ON l.id = CASE t.position WHEN 1 THEN s.label_id ELSE f.label_id END AND l.property = t.property
LEFT JOIN retraction x ON x.label_id = l.id
LEFT JOIN v_expectation q ON q.suggestion_id = s.suggestion_id AND q.position = t.position;
