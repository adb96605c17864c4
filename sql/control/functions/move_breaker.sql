-- move_breaker moves the circuit breaker of a destination by the results of its attempts, and disables a destination that
-- has failed for too long. With take_breaker_probe, return_breaker_probe and close_breaker it is all that writes the
-- breaker's columns in destination_progress, apart from erasures, which take a person out of breaker_failed_records.
--
--                p_open_after order keys failed at their first attempt, and none was delivered
--   closed --------------------------------------------------------------------------> open: nothing is sent
--     ^                                                                                |  ^
--     |                          the time is over: take_breaker_probe, of one process  |  |  the probe failed: twice as long
--     |                                                                                |  |  nothing to send: return_breaker_probe
--     |   the probe was delivered, or refused for its content                          v  |  the process died: p_probe_for later
--     +-------------------------------------------------------------------------- probing: one delivery is sent
--
-- A person who resumes the destination closes it from any state (resume_destination).
--
-- p_results is that of record_deliveries. The breaker counts order keys whose deliveries failed at their first attempt, one for each
-- send. The repeated failure of the data of one user or organization says nothing about the others.
--
-- Repeatable: no; record_deliveries calls it once for each batch of results.
-- Order:      the caller has locked the destination's progress.
-- Result:     the time until which the breaker is open, if this call opened it; whether the destination was disabled.
CREATE OR REPLACE FUNCTION authsync.move_breaker(
    p_destination_id uuid,
    p_results        jsonb,
    p_now            timestamptz,
    p_open_after     integer,
    p_open_for       interval,
    p_open_at_most   interval,
    p_disable_after  interval,
    OUT breaker_open_until timestamptz,
    OUT is_disabled        boolean
)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $fn$
DECLARE
    v_progress  authsync.destination_progress;
    v_delivered bigint;
    v_failed    bigint;
    v_failing   text[];
    v_probe     boolean;
    v_answered  boolean;
    v_through   timestamptz;
BEGIN
    is_disabled := false;
    SELECT
        count(*) FILTER (WHERE r.outcome = 'delivered'),
        count(DISTINCT r.send) FILTER (WHERE r.outcome IN ('retry', 'probe')),
        coalesce(bool_or(r.outcome = 'probe'), false),
        coalesce(bool_or(r.outcome IN ('failed', 'later') AND r.status IS NOT NULL), false),
        max(r.sent_at) FILTER (WHERE r.outcome = 'delivered')
    INTO v_delivered, v_failed, v_probe, v_answered, v_through
    FROM jsonb_to_recordset(p_results) AS r (outcome text, status integer, send bigint, sent_at timestamptz);

    IF v_delivered > 0 THEN
        -- As close_breaker does, in one statement with the rest: every batch that gets through comes here.
        UPDATE authsync.destination_progress AS f
        SET consecutive_failures   = 0,
            breaker_failed_records = '{}',
            failing_since          = NULL,
            breaker_open_until     = NULL,
            breaker_trips          = 0,
            last_success_at        = p_now,
            last_success_sent_at   = greatest(f.last_success_sent_at, v_through)
        WHERE f.destination_id = p_destination_id;
        RETURN;
    END IF;

    SELECT f.* INTO v_progress FROM authsync.destination_progress AS f WHERE f.destination_id = p_destination_id;
    IF v_failed > 0 THEN
        v_failing := ARRAY(
            SELECT u.order_key FROM unnest(v_progress.breaker_failed_records) AS u (order_key)
            UNION
            SELECT min(d.order_key)
            FROM jsonb_to_recordset(p_results) AS r (id bigint, attempts integer, outcome text, send bigint)
            JOIN authsync.deliveries AS d ON d.id = r.id
            WHERE r.outcome IN ('retry', 'probe') AND r.attempts = 0
            GROUP BY r.send
            LIMIT p_open_after
        );
        -- Deliveries in flight when it opened do not open it again.
        IF v_probe OR (v_progress.breaker_open_until IS NULL AND cardinality(v_failing) >= p_open_after) THEN
            breaker_open_until := p_now + least(p_open_for * 2 ^ least(v_progress.breaker_trips, 20), p_open_at_most);
        END IF;
        UPDATE authsync.destination_progress AS f
        SET consecutive_failures   = f.consecutive_failures + v_failed,
            breaker_failed_records = v_failing,
            failing_since          = coalesce(f.failing_since, p_now),
            breaker_open_until     = coalesce(move_breaker.breaker_open_until, f.breaker_open_until),
            breaker_trips          = f.breaker_trips + CASE WHEN move_breaker.breaker_open_until IS NULL THEN 0 ELSE 1 END
        WHERE f.destination_id = p_destination_id;
        -- It may be one user or organization only that fails.
        IF v_progress.failing_since <= p_now - p_disable_after AND cardinality(v_failing) > 1 THEN
            is_disabled := authsync.halt_destination(
                p_destination_id, 'disabled', 'system',
                format('Every attempt has failed since %s. See why in its deliveries, mend that, and resume it: all is kept.',
                    to_char(v_progress.failing_since AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI "UTC"')),
                p_now);
        END IF;
    ELSIF v_answered AND v_progress.breaker_open_until IS NOT NULL THEN
        -- The probe was rejected for its content, or deferred: the destination is up.
        PERFORM authsync.close_breaker(p_destination_id, false);
    END IF;
END;
$fn$;

COMMENT ON FUNCTION authsync.move_breaker(uuid, jsonb, timestamptz, integer, interval, interval, interval)
    IS 'Moves the circuit breaker of a destination by the results of its attempts.';
