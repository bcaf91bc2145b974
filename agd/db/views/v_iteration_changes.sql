-- The iterations of which something was said after they were labelled, and how much: labels retracted or told anew,
-- answers given up. What was counted of them before that does not hold.
CREATE OR REPLACE VIEW v_iteration_changes AS
SELECT s.iteration_id, count(*) AS n
FROM (SELECT suggestion_id FROM given_up
      UNION ALL SELECT suggestion_id FROM label_replacement
      UNION ALL SELECT s.id FROM retraction x JOIN suggestion s ON s.label_id = x.label_id
      UNION ALL SELECT r.suggestion_id FROM retraction x JOIN label_replacement r ON r.label_id = x.label_id
      UNION ALL SELECT f.suggestion_id FROM retraction x JOIN suggestion_label f ON f.label_id = x.label_id) said
JOIN suggestion s ON s.id = said.suggestion_id
GROUP BY s.iteration_id;
