-- The first, by formula, of the compositions that a campaign takes for known, have the same counts as another one and
-- differ from it in exactly one element; NULL where there is none, and of an element alone. What may hold all elements
-- but one is told by patterns before amounts are compared.
CREATE OR REPLACE FUNCTION agd_analogue(of_campaign bigint, of_composition bigint) RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
DECLARE
    atoms text[];
    elements text[];
    anonymous text;
    patterns text[];
    known bigint[];
BEGIN
    SELECT agd_amounts(c.reduced_formula), string_to_array(c.chemical_system, '-'), c.anonymous_formula
    INTO atoms, elements, anonymous FROM composition c WHERE c.id = of_composition AND c.n_elements > 1;
    patterns := array(SELECT '%' || array_to_string(array_remove(elements, gone), '%') || '%'
                      FROM unnest(elements) AS gone);
    known := array(SELECT d.dataset_id FROM v_known_dataset d WHERE d.campaign_id = of_campaign);
    RETURN (SELECT min(k.reduced_formula COLLATE "C") FROM composition k
            WHERE k.anonymous_formula = anonymous AND k.chemical_system LIKE ANY (patterns)
              AND (SELECT count(*) FROM unnest(agd_amounts(k.reduced_formula)) AS a WHERE a = ANY (atoms))
                  = cardinality(atoms) - 1
              AND EXISTS (SELECT FROM dataset_row r WHERE r.composition_id = k.id AND r.dataset_id = ANY (known)));
END
$$;
