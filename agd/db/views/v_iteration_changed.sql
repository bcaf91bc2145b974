-- The iterations of which something was said after they were labelled: a label retracted or told anew, an answer given
-- up. Whatever was counted of them before need not hold.
CREATE OR REPLACE VIEW v_iteration_changed AS
SELECT s.iteration_id FROM given_up g JOIN suggestion s ON s.id = g.suggestion_id
UNION
SELECT s.iteration_id FROM label_replacement r JOIN suggestion s ON s.id = r.suggestion_id
UNION
SELECT s.iteration_id FROM retraction x JOIN suggestion s ON s.label_id = x.label_id
UNION
SELECT s.iteration_id FROM retraction x JOIN suggestion_label f ON f.label_id = x.label_id
JOIN suggestion s ON s.id = f.suggestion_id;
