-- The chemical system of a formula: F-Sr-Y of SrYF5. Of a row of composition it is the column, by its index.
CREATE OR REPLACE FUNCTION agd_system(formula text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
SELECT string_agg(DISTINCT e COLLATE "C", '-' ORDER BY e COLLATE "C") FROM unnest(agd_elements($1)) AS e
$$;
CREATE OR REPLACE FUNCTION agd_system(of composition) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
SELECT ($1).chemical_system
$$;
