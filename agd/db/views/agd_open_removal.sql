-- Lets the transaction that calls it remove or change what was recorded, for a reason that stays as a row.
CREATE OR REPLACE FUNCTION agd_open_removal(reason text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    opened bigint;
BEGIN
    INSERT INTO removal (reason) VALUES (reason) RETURNING id INTO opened;
    PERFORM set_config('agd.removal', opened::text, true);
    RETURN opened;
END
$$;
