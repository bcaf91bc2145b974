-- Of each composition and property the label that is shown where several stand: of the highest fidelity, of these the
-- newest. One that was retracted, or cannot be a value, hides no other, and
-- one of a structure is none of its composition. agd.methods says the same in Python.
CREATE OR REPLACE VIEW v_label_best AS
SELECT DISTINCT ON (composition_id, property) composition_id, property, label_id, reduced_formula, value, unit,
       uncertainty, method, method_kind, fidelity, source_kind, source, started_at
FROM v_label
WHERE structure_id IS NULL AND NOT is_retracted AND agd_is_plausible(property, value)
ORDER BY composition_id, property, fidelity DESC, label_id DESC;
