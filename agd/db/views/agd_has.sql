-- Whether a formula holds an element; on composition.reduced_formula by index.
CREATE OR REPLACE FUNCTION agd_has(formula text, element text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
SELECT agd_elements($1) @> ARRAY[$2]
$$;
