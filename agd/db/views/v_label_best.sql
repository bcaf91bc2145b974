-- Of each composition and property the label that is shown where several stand: of the highest fidelity, of these the
-- newest. One that was retracted, or cannot be a value, hides no other, and
-- one of a structure is none of its composition. agd.methods says the same in Python.
CREATE OR REPLACE VIEW v_label_best AS
SELECT l.composition_id, l.property, l.label_id, l.reduced_formula, l.value, l.unit,
       l.uncertainty, l.method, l.method_kind, l.fidelity, l.source_kind, l.source, l.started_at
FROM v_label l
WHERE l.structure_id IS NULL AND NOT l.is_retracted AND agd_is_plausible(l.property, l.value)
  AND NOT EXISTS (SELECT FROM v_label b
                  WHERE b.composition_id = l.composition_id AND b.property = l.property AND b.structure_id IS NULL
                    AND NOT b.is_retracted AND agd_is_plausible(b.property, b.value)
                    AND (b.fidelity, b.label_id) > (l.fidelity, l.label_id));
