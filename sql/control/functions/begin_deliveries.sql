-- begin_deliveries records, before they are sent, that deliveries may have arrived. A message with
-- a state sends only what differs from the state before. If the sender dies and the record changes
-- back, nothing differs, and the destination would keep the state in between; with this mark
-- everything is sent.
--
-- An attempt whose outcome is not recorded when the next one begins is added to the log as unknown. What it sent is not known either: the
-- requests of some destinations depend on the responses to earlier ones, and are recorded with the outcome.
--
-- Repeatable: no; each call is an attempt to send p_ids, together with p_coalesced.
-- Order:      none.
-- Result:     none.
CREATE OR REPLACE FUNCTION authsync.begin_deliveries(
    p_destination_id uuid,
    p_ids            bigint[],
    p_coalesced      bigint[],
    p_now            timestamptz
)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $fn$
BEGIN
    -- Like all writers of several deliveries, to avoid deadlocks.
    PERFORM FROM authsync.destination_progress AS f WHERE f.destination_id = p_destination_id FOR UPDATE;
    UPDATE authsync.deliveries AS d
    SET begun       = true,
        begun_at    = p_now,
        attempt_log = CASE
            WHEN d.begun_at IS NULL THEN d.attempt_log
            ELSE authsync.add_attempt(d.attempt_log, d.begun_at, NULL, 'unknown', NULL, NULL, NULL, NULL)
        END
    -- Written so that only the index on id can be used.
    WHERE d.id = ANY (p_ids) AND d.destination_id IS NOT DISTINCT FROM p_destination_id;
    UPDATE authsync.deliveries AS d
    SET begun = true
    WHERE d.id = ANY (p_coalesced) AND d.destination_id IS NOT DISTINCT FROM p_destination_id AND NOT d.begun;
END;
$fn$;

COMMENT ON FUNCTION authsync.begin_deliveries(uuid, bigint[], bigint[], timestamptz)
    IS 'Records, before they are sent, that deliveries may have arrived.';
