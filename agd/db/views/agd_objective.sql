-- What a search maximises of a value: it, its negative, or minus its distance to a window. agd.target says the same.
CREATE OR REPLACE FUNCTION agd_objective(low double precision, high double precision, value double precision)
RETURNS double precision LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
SELECT CASE WHEN $1 IS NULL THEN -$3 WHEN $2 IS NULL THEN $3 ELSE -greatest($1 - $3, $3 - $2, 0) END
$$;
