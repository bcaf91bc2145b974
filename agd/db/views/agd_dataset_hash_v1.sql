-- A dataset as it was imported or generated: its rows, structures, labels and rejects; neither its name nor
-- retractions.
CREATE OR REPLACE FUNCTION agd_dataset_hash_v1(of_dataset bigint) RETURNS text LANGUAGE sql STABLE AS $$
WITH block AS (
    SELECT 0 AS part, 0 AS block, json_build_array(source_sha256, recipe_sha256, property, options, n_read,
           n_rejected)::text AS hash FROM dataset WHERE id = $1
    UNION ALL
    SELECT 1, r.line / 10000, encode(sha256(convert_to(string_agg(json_build_array(r.line, c.reduced_formula, r.formula,
           r.n_rows, l.property, encode(float8send(l.value), 'hex'), encode(float8send(l.uncertainty), 'hex'))::text,
           E'\n' ORDER BY r.line, c.reduced_formula COLLATE "C"), 'UTF8')), 'hex')
    FROM (SELECT * FROM dataset_row WHERE dataset_id = $1) r
    FULL JOIN (SELECT * FROM label WHERE dataset_id = $1) l USING (composition_id)
    JOIN composition c ON c.id = composition_id GROUP BY 2
    UNION ALL
    SELECT 2, line / 10000, encode(sha256(convert_to(string_agg(json_build_array(line, kind, formula, value,
           message)::text, E'\n' ORDER BY line), 'UTF8')), 'hex')
    FROM dataset_reject WHERE dataset_id = $1 GROUP BY 2
    UNION ALL
    SELECT 3, 0, json_build_array(m.tensors_sha256, g.seed, g.first_sample, g.n_samples)::text
    FROM generation g JOIN model_version m ON m.id = g.model_version_id WHERE g.dataset_id = $1
    UNION ALL
    SELECT 4, r.line / 10000, encode(sha256(convert_to(string_agg(json_build_array(r.line, r.entry, s.cell_sha256,
           r.is_experimental, (SELECT json_agg(json_build_array(l.property, encode(float8send(l.value), 'hex'))
                               ORDER BY l.property COLLATE "C") FROM label l WHERE l.structure_row_id = r.id))::text,
           E'\n' ORDER BY r.line, r.entry COLLATE "C"), 'UTF8')), 'hex')
    FROM structure_row r JOIN structure s ON s.id = r.structure_id WHERE r.dataset_id = $1 GROUP BY 2
)
SELECT encode(sha256(convert_to(string_agg(json_build_array(part, block, hash)::text, E'\n' ORDER BY part, block),
              'UTF8')), 'hex') FROM block
$$;
