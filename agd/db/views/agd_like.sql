-- Whether a formula has the amounts of another, or of letters: SrYF5 is like ABX5. Of a row of composition it compares
-- the column, by its index: agd_like(c, 'ABX5').
CREATE OR REPLACE FUNCTION agd_like(formula text, prototype text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
SELECT agd_anonymous($1) = agd_anonymous($2)
$$;
CREATE OR REPLACE FUNCTION agd_like(of composition, prototype text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
SELECT ($1).anonymous_formula = agd_anonymous($2)
$$;
