-- The elements that a formula names, in its order: SrYF5 holds {Sr,Y,F}. The index ix_composition_elements stands on it.
CREATE OR REPLACE FUNCTION agd_elements(formula text) RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
SELECT string_to_array(
    ltrim(regexp_replace(regexp_replace($1, '[^A-Za-z]+', '', 'g'), '([A-Z])', ',\1', 'g'), ','), ',')
$$;
