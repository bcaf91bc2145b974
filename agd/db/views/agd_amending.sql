-- Keeps, as a trigger, that an amendment goes on from what holds, and holds the end that it undoes.
CREATE OR REPLACE FUNCTION agd_amending() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    is_next boolean;
BEGIN
    EXECUTE format('SELECT ($1).number = b.n_amendments + 1 AND ($1).old_value = b.calls'
                   ' AND ($1).ended_at IS NOT DISTINCT FROM k.ended_at'
                   ' AND ($1).end_reason IS NOT DISTINCT FROM k.end_reason'
                   ' FROM %1$I.campaign k JOIN %1$I.v_campaign_budget b ON b.campaign_id = k.id'
                   ' WHERE k.id = ($1).campaign_id', TG_TABLE_SCHEMA)
    INTO is_next USING NEW;
    IF is_next IS NOT TRUE THEN
        RAISE EXCEPTION 'campaign %: an amendment goes on from what holds, and holds the end that it undoes',
            NEW.campaign_id
            USING ERRCODE = 'check_violation', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME,
                  CONSTRAINT = 'amendment_goes_on';
    END IF;
    RETURN NEW;
END
$$;
