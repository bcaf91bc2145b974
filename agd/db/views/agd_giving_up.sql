-- Holds, as a trigger, that only what waits for an answer is given up, and then gets none. Both sides lock the
-- suggestion first, so that an answer and its being given up never cross.
CREATE OR REPLACE FUNCTION agd_giving_up() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    asked bigint;
    is_refused boolean;
BEGIN
    IF TG_TABLE_NAME = 'given_up' THEN
        asked := NEW.suggestion_id;
        EXECUTE format('SELECT outcome IS DISTINCT FROM ''new'' OR label_id IS NOT NULL FROM %I.suggestion'
                       ' WHERE id = $1 FOR NO KEY UPDATE', TG_TABLE_SCHEMA)
        INTO is_refused USING asked;
    ELSE
        asked := NEW.id;
        EXECUTE format('SELECT EXISTS (SELECT FROM %I.given_up WHERE suggestion_id = $1)', TG_TABLE_SCHEMA)
        INTO is_refused USING asked;
    END IF;
    IF is_refused THEN
        RAISE EXCEPTION 'suggestion %: only what waits for an answer is given up, and then it gets none', asked
            USING ERRCODE = 'check_violation', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME,
                  CONSTRAINT = 'given_up_waits';
    END IF;
    RETURN NEW;
END
$$;
