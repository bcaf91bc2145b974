-- The results of each campaign whose every property has a label that stands: what they are, in the order of the
-- properties, whether all targets are met, and whether no other is at least as good in each and better in one
-- (is_on_front).
CREATE OR REPLACE VIEW v_pareto AS
SELECT k.name AS campaign, f.iteration, f.rank, c.reduced_formula, f.properties, f.units, f.values, f.is_find,
       f.is_on_front, f.campaign_id, f.suggestion_id, f.composition_id
FROM campaign k
CROSS JOIN LATERAL (
    WITH point AS MATERIALIZED (
        SELECT p.campaign_id, p.suggestion_id, p.composition_id, p.iteration, p.rank,
               array_agg(p.property ORDER BY p.position) AS properties, array_agg(p.unit ORDER BY p.position) AS units,
               array_agg(p.value ORDER BY p.position) AS values, bool_and(p.is_met) AS is_find,
               max(p.objective) FILTER (WHERE p.position = 1) AS o1,
               coalesce(max(p.objective) FILTER (WHERE p.position = 2), 0) AS o2,
               coalesce(max(p.objective) FILTER (WHERE p.position = 3), 0) AS o3,
               coalesce(max(p.objective) FILTER (WHERE p.position = 4), 0) AS o4
        FROM v_suggestion_property p WHERE p.campaign_id = k.id AND p.outcome = 'new'
        GROUP BY p.campaign_id, p.suggestion_id, p.composition_id, p.iteration, p.rank
        HAVING bool_and(p.objective IS NOT NULL)
    )
    SELECT a.*, CASE WHEN cardinality(a.values) = 1 THEN a.o1 = max(a.o1) OVER () ELSE
           NOT EXISTS (SELECT FROM point b WHERE b.o1 >= a.o1 AND b.o2 >= a.o2 AND b.o3 >= a.o3 AND b.o4 >= a.o4
                       AND (b.o1 > a.o1 OR b.o2 > a.o2 OR b.o3 > a.o3 OR b.o4 > a.o4)) END AS is_on_front
    FROM point a
) f
JOIN composition c ON c.id = f.composition_id;
