-- record_deliveries records the results of deliveries, promotes the next ones with the same order keys
-- and has move_breaker move the circuit breaker.
--
-- Repeatable: a result counts only if the delivery has not changed since it was sent.
-- Order:      the next delivery with an order key becomes ready when the one before is finished.
-- Result:     how many became ready; the time until which the breaker is open, if
--             this call opened it; whether the destination is disabled.
--
-- p_results is an array of objects: id; state and attempts, as they were; coalesced, the ids of
-- those sent with it; outcome: delivered, retry, failed, cancelled (nothing to send), later (deferred, which
-- costs no attempt; without a status it was not sent at all) or probe (a failed breaker probe, which costs
-- no attempt either); status, response, reason, duration_ms; next_attempt_at and job_id if it continues in a
-- job of its own; sent_at; deferrals, if it was deferred while others succeeded, see
-- deliveries.deferrals; external_id, if keeps_external_id is false: the id to store, empty to delete it; sent, its requests, as
-- add_attempt takes them.
--
-- send: results with the same number failed together, which move_breaker counts once.
--
-- Of coalesced deliveries the newest gets the outcome; the others are coalesced into it. If it has no log of
-- attempts, it continues that of the one that was sent. A first attempt that succeeds is not logged: the row has it already.
CREATE OR REPLACE FUNCTION authsync.record_deliveries(
    p_destination_id uuid,
    p_results        jsonb,
    p_now            timestamptz,
    p_open_after     integer,
    p_open_for       interval,
    p_open_at_most   interval,
    p_disable_after  interval
)
RETURNS TABLE (promoted bigint, breaker_open_until timestamptz, is_disabled boolean)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $fn$
DECLARE
    v_keys text[];
BEGIN
    promoted := 0;
    is_disabled := false;
    PERFORM FROM authsync.destination_progress AS f WHERE f.destination_id = p_destination_id FOR UPDATE;
    IF NOT FOUND THEN
        RETURN NEXT;
        RETURN;
    END IF;

    WITH result AS MATERIALIZED (
        SELECT r.*, d.attempt_log, r.outcome <> 'later' OR r.status IS NOT NULL AS was_sent
        FROM jsonb_to_recordset(p_results) AS r (
            id bigint, state text, attempts integer, coalesced bigint[], outcome text, status integer, response text, reason text,
            next_attempt_at timestamptz, job_id bigint, sent_at timestamptz, deferrals integer, keeps_external_id boolean, external_id text,
            duration_ms bigint, sent jsonb
        )
        JOIN authsync.deliveries AS d ON d.id = r.id
        -- Written so that only the index on id can be used.
        WHERE d.destination_id IS NOT DISTINCT FROM p_destination_id AND d.state IS NOT DISTINCT FROM r.state AND d.attempts = r.attempts
    ),
    -- It has all that finishing needs: joined with result once more, each would be looked for among all.
    member AS MATERIALIZED (
        SELECT
            d.id,
            d.order_key,
            first_value(d.id) OVER w AS newest_id,
            min(least(d.first_change_id, d.change_id)) OVER (PARTITION BY r.id) AS first_change_id,
            r.outcome, r.attempts, r.status, r.response, r.reason, r.duration_ms, r.sent,
            coalesce(d.attempt_log, r.attempt_log) AS attempt_log
        FROM result AS r
        CROSS JOIN LATERAL unnest(r.id || r.coalesced) AS u (id)
        JOIN authsync.deliveries AS d ON d.id = u.id
        WHERE r.outcome IN ('delivered', 'failed', 'cancelled')
          AND (d.id = r.id OR (d.state || '') IN ('blocked', 'failed'))
        WINDOW w AS (PARTITION BY r.id ORDER BY d.change_id DESC)
    ),
    finish AS (
        UPDATE authsync.deliveries AS d
        SET state           = CASE WHEN m.id = m.newest_id THEN m.outcome ELSE 'coalesced' END,
            coalesced_into  = CASE WHEN m.id <> m.newest_id THEN m.newest_id END,
            first_change_id = CASE WHEN m.id = m.newest_id THEN nullif(m.first_change_id, d.change_id) ELSE d.first_change_id END,
            attempts        = CASE WHEN m.id = m.newest_id THEN m.attempts + 1 ELSE d.attempts END,
            last_attempt_at = p_now,
            next_attempt_at = NULL,
            last_status     = CASE WHEN m.id = m.newest_id THEN m.status ELSE d.last_status END,
            last_response   = CASE WHEN m.id = m.newest_id THEN m.response ELSE d.last_response END,
            reason          = CASE WHEN m.id = m.newest_id THEN m.reason END,
            attempt_log     = CASE
                WHEN m.id = m.newest_id AND (m.outcome <> 'delivered' OR m.attempt_log IS NOT NULL)
                    THEN authsync.add_attempt(m.attempt_log, p_now, m.duration_ms, m.outcome, m.status, m.reason, m.response, m.sent)
                ELSE d.attempt_log
            END,
            begun_at        = NULL,
            finished_at     = p_now
        FROM member AS m
        WHERE d.id = m.id
    ),
    unfinished AS (
        UPDATE authsync.deliveries AS d
        SET state           = CASE WHEN r.outcome = 'retry' OR r.job_id IS NOT NULL THEN 'retrying' ELSE d.state END,
            attempts        = CASE WHEN r.outcome = 'retry' THEN d.attempts + 1 ELSE d.attempts END,
            next_attempt_at = coalesce(r.next_attempt_at, d.next_attempt_at),
            job_id          = coalesce(r.job_id, d.job_id),
            deferrals       = coalesce(r.deferrals, d.deferrals),
            deferred_at     = CASE WHEN r.deferrals IS NULL THEN d.deferred_at ELSE r.sent_at END,
            last_attempt_at = CASE WHEN r.was_sent THEN p_now ELSE d.last_attempt_at END,
            last_status     = CASE WHEN r.was_sent THEN r.status ELSE d.last_status END,
            last_response   = CASE WHEN r.was_sent THEN r.response ELSE d.last_response END,
            reason          = r.reason,
            attempt_log     = CASE
                WHEN r.was_sent THEN authsync.add_attempt(
                    d.attempt_log, p_now, r.duration_ms, CASE WHEN r.outcome = 'later' THEN 'deferred' ELSE 'retried' END,
                    r.status, r.reason, r.response, r.sent)
                ELSE d.attempt_log
            END,
            begun_at        = NULL
        FROM result AS r
        WHERE d.id = r.id AND r.outcome IN ('retry', 'probe', 'later')
    ),
    remember AS (
        INSERT INTO authsync.external_ids AS l (destination_id, record_type, record_id, external_id, updated_at)
        SELECT p_destination_id, d.record_type, d.record_id, r.external_id, p_now
        FROM result AS r
        JOIN authsync.deliveries AS d ON d.id = r.id
        WHERE NOT r.keeps_external_id AND r.external_id <> ''
        ORDER BY d.record_type, d.record_id
        ON CONFLICT (destination_id, record_type, record_id)
        DO UPDATE SET external_id = excluded.external_id, updated_at = excluded.updated_at
        WHERE l.external_id <> excluded.external_id
    ),
    forget AS (
        DELETE FROM authsync.external_ids AS l
        USING result AS r, authsync.deliveries AS d
        WHERE NOT r.keeps_external_id AND r.external_id = '' AND d.id = r.id
          AND l.destination_id = p_destination_id AND l.record_type = d.record_type AND l.record_id = d.record_id
    )
    SELECT array_agg(DISTINCT m.order_key) INTO v_keys
    FROM member AS m;

    IF v_keys IS NOT NULL THEN
        promoted := authsync.promote_deliveries(p_destination_id, v_keys);
    END IF;

    SELECT m.breaker_open_until, m.is_disabled INTO breaker_open_until, is_disabled
    FROM authsync.move_breaker(p_destination_id, p_results, p_now, p_open_after, p_open_for, p_open_at_most, p_disable_after) AS m;
    RETURN NEXT;
END;
$fn$;

COMMENT ON FUNCTION authsync.record_deliveries(uuid, jsonb, timestamptz, integer, interval, interval, interval)
    IS 'Records the results of deliveries and promotes the next ones with their order keys.';
