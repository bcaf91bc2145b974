-- The atoms of a reduced formula, in the order in which it names them: Al2(SO4)3 holds {Al2,S3,O12}.
CREATE OR REPLACE FUNCTION agd_amounts(reduced_formula text) RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
SELECT CASE WHEN position('(' IN $1) = 0 THEN string_to_array(regexp_replace($1, '(?!^)([A-Z])', ',\1', 'g'), ',')
    ELSE (SELECT array_agg(atom[1] || coalesce(nullif(n.atoms, 1)::text, '') ORDER BY part.place, atom.place)
          FROM regexp_matches($1, '\(([^)]*)\)(\d*)|([A-Z][a-z]?\d*)', 'g') WITH ORDINALITY AS part (part, place),
               regexp_matches(coalesce(part[1], part[3]), '([A-Z][a-z]?)(\d*)', 'g')
                   WITH ORDINALITY AS atom (atom, place),
               LATERAL (SELECT coalesce(nullif(atom[2], ''), '1')::bigint * coalesce(nullif(part[2], ''), '1')::bigint)
                   AS n (atoms)) END
$$;
