-- Mongo's order of spec._priority: what is missing below all numbers, infinite where only Python can order.
CREATE OR REPLACE FUNCTION queue.priority(body jsonb) RETURNS numeric LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
SELECT CASE WHEN jsonb_typeof(body -> 'spec') = 'array' THEN 'Infinity'::numeric
            WHEN coalesce(body #> '{spec,_priority}', 'null') = 'null' THEN '-Infinity'::numeric
            WHEN jsonb_typeof(body #> '{spec,_priority}') = 'number' THEN (body #>> '{spec,_priority}')::numeric
            ELSE 'Infinity'::numeric END
$$;
