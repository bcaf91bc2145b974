-- The first, by formula, of the compositions that a campaign takes for known, have the same counts as another one and
-- differ from it in exactly one element; NULL where there is none, and of an element alone. They are looked up by the
-- chemical systems that they can have, and the first that fits is taken.
CREATE OR REPLACE FUNCTION agd_analogue(of_campaign bigint, of_composition bigint) RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
DECLARE
    symbols constant text[] := string_to_array(
        'H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge '
        'As Se Br Kr Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm '
        'Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U '
        'Np Pu Am Cm Bk Cf Es Fm Md No Lr', ' ');
    atoms text[];
    elements text[];
    anonymous text;
    systems text[];
    known bigint[];
BEGIN
    SELECT agd_amounts(c.reduced_formula), string_to_array(c.chemical_system, '-'), c.anonymous_formula
    INTO atoms, elements, anonymous FROM composition c WHERE c.id = of_composition AND c.n_elements > 1;
    systems := array(SELECT string_agg(e, '-' ORDER BY e COLLATE "C")
                     FROM unnest(elements) AS gone, unnest(symbols) AS new,
                          unnest(array_replace(elements, gone, new)) AS e
                     WHERE new <> ALL (elements) GROUP BY gone, new);
    known := array(SELECT d.dataset_id FROM v_known_dataset d WHERE d.campaign_id = of_campaign);
    RETURN (SELECT f.formula
            FROM (SELECT k.reduced_formula AS formula FROM composition k
                  WHERE k.chemical_system = ANY (systems) AND k.anonymous_formula = anonymous AND EXISTS (
                      SELECT FROM dataset_row r WHERE r.composition_id = k.id AND r.dataset_id = ANY (known))
                  ORDER BY k.reduced_formula COLLATE "C" OFFSET 0) f
            WHERE (SELECT count(*) FROM unnest(agd_amounts(f.formula)) AS a WHERE a = ANY (atoms))
                = cardinality(atoms) - 1 LIMIT 1);
END
$$;
