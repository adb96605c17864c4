-- halt_filter pauses a destination whose fields or condition keep costing workers, and
-- keeps its cursor: the relay skips it until a user changes the filter or resumes it.
--
-- Repeatable: yes. A filter that has been changed meanwhile is not paused.
-- Order:      after relay_page in the same transaction, which has locked the row of destination_progress.
-- Result:     true if the destination still has this filter. A state set by a user stays, see
--             halt_destination; the relay skips the destination all the same.
CREATE OR REPLACE FUNCTION authsync.halt_filter(
    p_destination_id uuid,
    p_event_types    text[],
    p_fields         text[],
    p_condition      text,
    p_reason         text,
    p_now            timestamptz
)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $fn$
BEGIN
    UPDATE authsync.destinations AS d
    SET filter_halted = true
    WHERE d.id = p_destination_id AND d.event_types = p_event_types
      AND d.fields = p_fields AND d.condition IS NOT DISTINCT FROM p_condition;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM authsync.halt_destination(p_destination_id, 'paused', 'system', p_reason, p_now);
    RETURN true;
END;
$fn$;

COMMENT ON FUNCTION authsync.halt_filter(uuid, text[], text[], text, text, timestamptz)
    IS 'Pauses a destination whose filter keeps costing workers; its changes stay unrelayed.';
