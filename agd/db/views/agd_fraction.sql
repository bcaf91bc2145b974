-- The atomic fraction of an element in a reduced formula, 0 where it is not in it: 5/7 of F in SrYF5. Beside agd_has
-- it looks only at what holds the element.
CREATE OR REPLACE FUNCTION agd_fraction(formula text, element text) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
SELECT coalesce(sum(a.n) FILTER (WHERE a.of = $2), 0)::float8 / sum(a.n)::float8
FROM (SELECT substring(one FROM '^[A-Z][a-z]?') AS of, coalesce(substring(one FROM '\d+'), '1')::bigint AS n
      FROM unnest(agd_amounts($1)) AS one) a
$$;
