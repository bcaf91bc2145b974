-- A formula with letters for its elements, fewest atoms first, reduced: ABC5 of SrYF5, and of A2B2X10.
CREATE OR REPLACE FUNCTION agd_anonymous(formula text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
WITH amount AS (
    SELECT sum(coalesce(substring(a FROM '\d+'), '1')::bigint)::bigint AS n
    FROM unnest(agd_amounts($1)) AS a GROUP BY substring(a FROM '^[A-Z][a-z]?')
),
ranked AS (SELECT n, row_number() OVER (ORDER BY n)::integer AS place FROM amount),
divisor AS (
    SELECT max(d) AS d FROM generate_series(1, (SELECT min(n) FROM amount)) AS d
    WHERE NOT EXISTS (SELECT FROM amount WHERE n % d <> 0)
)
SELECT string_agg(chr(64 + place) || coalesce(nullif(n / d, 1)::text, ''), '' ORDER BY place) FROM ranked, divisor
$$;
