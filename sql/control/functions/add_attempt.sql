-- add_attempt adds an attempt to the log of a delivery, deliveries.attempt_log.
--
-- Repeatable: no; it changes nothing itself.
-- Order:      the newest last, each with a number; of these the last ten are kept.
-- Result:     the log. An attempt has its number, attempted_at (when it was recorded; of an unknown one when it began), outcome
--             (delivered, retried, deferred, failed, cancelled, unknown), and where there is one its status, duration_ms, reason and
--             response, of both the beginning (response_cut: there was more of it).
--
-- p_sent are its requests, NULL if they are not known: an object with requests, and bodies, which are those of requests; see
-- delivery.Sent in Go. Retries mostly send the same: if the attempt before has the same bodies, it loses its own, and readers look for
-- them in the one after. In that order, because the oldest attempts are dropped.
CREATE OR REPLACE FUNCTION authsync.add_attempt(
    p_log         jsonb[],
    p_at          timestamptz,
    p_duration_ms bigint,
    p_outcome     text,
    p_status      integer,
    p_reason      text,
    p_response    text,
    p_sent        jsonb
)
RETURNS jsonb[]
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $fn$
    SELECT (array_append(
        CASE
            WHEN p_log[cardinality(p_log)] -> 'bodies' = p_sent -> 'bodies'
                THEN p_log[:cardinality(p_log) - 1] || (p_log[cardinality(p_log)] - 'bodies')
            ELSE p_log
        END,
        jsonb_strip_nulls(jsonb_build_object(
            'number', coalesce((p_log[cardinality(p_log)] ->> 'number')::bigint, 0) + 1,
            'attempted_at', p_at,
            'outcome', p_outcome,
            'status', p_status,
            'duration_ms', p_duration_ms,
            'reason', left(p_reason, 500),
            'response', left(p_response, 1000),
            'response_cut', CASE WHEN length(p_response) > 1000 THEN true END
        )) || coalesce(p_sent, '{}')
    ))[greatest(cardinality(p_log) - 8, 1):];
$fn$;

COMMENT ON FUNCTION authsync.add_attempt(jsonb[], timestamptz, bigint, text, integer, text, text, jsonb)
    IS 'Adds an attempt to the log of a delivery.';
