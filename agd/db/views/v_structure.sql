-- One row per structure and row of a dataset that has it, with what that dataset says of it and how it was computed.
CREATE OR REPLACE VIEW v_structure AS
SELECT s.id AS structure_id, c.reduced_formula, c.chemical_system, s.n_sites, s.space_group, d.name AS dataset, r.entry,
       r.line, r.is_experimental, e.value AS formation_energy, g.value AS band_gap, d.method, d.correction_scheme,
       s.cell_sha256, s.composition_id, r.dataset_id, r.id AS structure_row_id
FROM structure_row r
JOIN structure s ON s.id = r.structure_id
JOIN composition c ON c.id = s.composition_id
JOIN dataset d ON d.id = r.dataset_id
LEFT JOIN label e ON e.structure_row_id = r.id AND e.property = 'formation_energy'
     AND NOT EXISTS (SELECT FROM retraction x WHERE x.label_id = e.id)
LEFT JOIN label g ON g.structure_row_id = r.id AND g.property = 'band_gap'
     AND NOT EXISTS (SELECT FROM retraction x WHERE x.label_id = g.id);
