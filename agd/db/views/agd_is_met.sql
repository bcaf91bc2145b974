-- Whether a value meets a target: within its bounds, and one that a material can have. NULL for NULL.
CREATE OR REPLACE FUNCTION agd_is_met(property text, low double precision, high double precision, value double precision)
RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
SELECT $4 >= coalesce($2, '-Infinity') AND $4 <= coalesce($3, 'Infinity') AND agd_is_plausible($1, $4)
$$;
