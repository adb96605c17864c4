-- ensure_user makes sure that users has a row with this id, so that a foreign key
-- can reference a user whose event has not come yet. It never waits for the
-- provider: where there is no row it makes a placeholder, which has an id and
-- nothing else, and which the user's first event fills.
--
--     INSERT INTO orders (user_id, total) VALUES (capydb_auth.ensure_user('user_1'), 12);
--
-- Repeatable: an id that has a row is left as it is.
-- Order:      of no matter; the event may come before, after or meanwhile. Two sessions
--             with the same new id: the second waits until the first one's transaction
--             ends, and so do events about that user. So keep such transactions short.
-- Result:     the id as it was given.
--
-- SECURITY DEFINER, because whoever may only read the mirror shall be able to call
-- it: it is the one way to add a row, and can change none.
CREATE OR REPLACE FUNCTION capydb_auth.ensure_user(
    p_id text
)
RETURNS text
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $fn$
BEGIN
    IF p_id IS NULL OR p_id = '' THEN
        RAISE EXCEPTION 'the id of a user is null or empty'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give the provider''s id of the user, such as auth0|123 or user_123.';
    END IF;
    IF octet_length(p_id) > 1024 THEN
        RAISE EXCEPTION 'the id of a user is % bytes long: at most 1024 are taken', octet_length(p_id)
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give the provider''s id of the user, such as auth0|123 or user_123.';
    END IF;

    INSERT INTO capydb_auth.users (id, placeholder_since)
    VALUES (p_id, clock_timestamp())
    ON CONFLICT (id) DO NOTHING;

    RETURN p_id;
END;
$fn$;

COMMENT ON FUNCTION capydb_auth.ensure_user(text)
    IS 'Makes a placeholder for a user whose event has not come yet; returns the id, for use in a foreign key.';
