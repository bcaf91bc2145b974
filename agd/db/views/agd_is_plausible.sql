-- Whether a property of a material can have the value: the ranges of agd.plausible. NULL for NULL.
CREATE OR REPLACE FUNCTION agd_is_plausible(property text, value double precision) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
SELECT CASE $1 WHEN 'band_gap' THEN $2 BETWEEN -10 AND 100
               WHEN 'formation_energy' THEN $2 BETWEEN -50 AND 50
               WHEN 'e_above_hull' THEN $2 BETWEEN -50 AND 50
               WHEN 'bulk_modulus' THEN $2 BETWEEN -10000 AND 10000
               WHEN 'shear_modulus' THEN $2 BETWEEN -10000 AND 10000
               WHEN 'density' THEN $2 BETWEEN -100 AND 100
               WHEN 'refractive_index' THEN $2 BETWEEN -1000 AND 1000
               ELSE $2 BETWEEN -1e9 AND 1e9 END AND ($2 = 0 OR abs($2) >= 1e-100)
$$;
