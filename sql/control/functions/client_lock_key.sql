-- client_lock_key gives the key of the session advisory lock that a process holds for its
-- River client as long as it lives.
--
-- Repeatable: it changes nothing.
-- Order:      of no matter.
-- Result:     the key.
CREATE OR REPLACE FUNCTION authsync.client_lock_key(
    p_client_id text
)
RETURNS bigint
LANGUAGE sql
IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $fn$
    SELECT hashtextextended('authsync client ' || p_client_id, 0);
$fn$;

COMMENT ON FUNCTION authsync.client_lock_key(text)
    IS 'The key of the advisory lock that says that a River client lives.';
