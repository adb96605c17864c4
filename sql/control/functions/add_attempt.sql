-- add_attempt adds an attempt to the log of a delivery, deliveries.attempt_log.
--
-- Repeatable: no; it changes nothing itself.
-- Order:      the newest last, each with a number; of these the last ten are kept.
-- Result:     the log. An attempt has its number, attempted_at (when it was recorded; of an unknown one when it began), outcome
--             (delivered, retried, deferred, failed, cancelled, unknown), and where there is one its status, duration_ms, reason and
--             response, of both
--             the beginning.
CREATE OR REPLACE FUNCTION authsync.add_attempt(
    p_log         jsonb[],
    p_at          timestamptz,
    p_duration_ms bigint,
    p_outcome     text,
    p_status      integer,
    p_reason      text,
    p_response    text
)
RETURNS jsonb[]
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $fn$
    SELECT (array_append(p_log, jsonb_strip_nulls(jsonb_build_object(
        'number', coalesce((p_log[cardinality(p_log)] ->> 'number')::bigint, 0) + 1,
        'attempted_at', p_at,
        'outcome', p_outcome,
        'status', p_status,
        'duration_ms', p_duration_ms,
        'reason', left(p_reason, 500),
        'response', left(p_response, 1000)
    ))))[greatest(cardinality(p_log) - 8, 1):];
$fn$;

COMMENT ON FUNCTION authsync.add_attempt(jsonb[], timestamptz, bigint, text, integer, text, text)
    IS 'Adds an attempt to the log of a delivery.';
