-- Refuses, as a trigger, that rows go or recorded values change. Its arguments are lists with spaces between: columns
-- that are filled in later, columns that may change. Values are compared by their bytes: -0 is not 0, and no setting of
-- the session has a say.
CREATE OR REPLACE FUNCTION agd_defend() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    filled constant text[] := string_to_array(TG_ARGV[0], ' ');
    free constant text[] := string_to_array(TG_ARGV[1], ' ');
    comparison text;
    changed text;
    is_open boolean;
    key text;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        SELECT format('SELECT CASE %s END', string_agg(format(
                   'WHEN %s record_image_ne(ROW(($1).%I), ROW(($2).%I)) THEN %L',
                   CASE WHEN attname = ANY (filled) THEN format('($1).%I IS NOT NULL AND', attname) END,
                   attname, attname, attname), ' ' ORDER BY attnum))
        INTO comparison
        FROM pg_attribute
        WHERE attrelid = TG_RELID AND attnum > 0 AND NOT attisdropped AND attname <> ALL (free);
        EXECUTE comparison INTO changed USING OLD, NEW;
        IF changed IS NULL THEN
            RETURN NEW;
        END IF;
    END IF;

    EXECUTE format(
        'SELECT EXISTS (SELECT FROM %I.removal WHERE id::text = current_setting(''agd.removal'', true)'
        ' AND transaction = pg_current_xact_id()::text)', TG_TABLE_SCHEMA)
    INTO is_open;
    IF is_open THEN
        IF TG_OP = 'UPDATE' THEN RETURN NEW; END IF;
        RETURN OLD;
    END IF;

    IF TG_OP <> 'TRUNCATE' THEN
        SELECT string_agg(to_jsonb(OLD) ->> a.attname, ', ' ORDER BY array_position(i.indkey::int[], a.attnum::int))
        INTO key
        FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
        WHERE i.indrelid = TG_RELID AND i.indisprimary;
    END IF;
    RAISE EXCEPTION '% %: %; %', TG_TABLE_NAME, coalesce(key, '(every row)'),
        CASE TG_OP WHEN 'UPDATE' THEN changed || ' was recorded and stays as it is'
                   ELSE 'what was recorded is not removed' END,
        CASE TG_TABLE_NAME
            WHEN 'label' THEN format('withdraw a label by a row: `agd label retract %s`', coalesce(key, 'ID'))
            WHEN 'suggestion' THEN 'an answer given up or told anew is a row: `agd tell`'
            ELSE 'what is wrong is said by a row (of a label: `agd label retract`)' END
        USING ERRCODE = 'restrict_violation', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME,
              COLUMN = coalesce(changed, '');
END
$$;
