-- halt_destination pauses or disables a destination. Its deliveries are kept, and new ones are added.
--
-- Repeatable: a state set by a user stays; so does disabled, if the request is to pause.
-- Order:      none.
-- Result:     true if it changed something.
CREATE OR REPLACE FUNCTION authsync.halt_destination(
    p_destination_id uuid,
    p_state          text,
    p_by             text,
    p_reason         text,
    p_now            timestamptz
)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $fn$
BEGIN
    UPDATE authsync.destinations AS d
    SET state = p_state, state_by = p_by, state_reason = p_reason, state_since = p_now
    WHERE d.id = p_destination_id
      AND (p_by = 'user' OR d.state = 'active' OR (d.state = 'paused' AND d.state_by = 'system' AND p_state = 'disabled'));
    RETURN FOUND;
END;
$fn$;

COMMENT ON FUNCTION authsync.halt_destination(uuid, text, text, text, timestamptz)
    IS 'Pauses or disables a destination; its deliveries are kept.';
