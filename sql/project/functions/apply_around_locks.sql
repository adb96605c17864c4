-- apply_around_locks applies events while other transactions hold locks that some of them need: those
-- are deferred, all others take effect. It is part of apply_events and is called by nothing else.
--
-- Repeatable: as apply_round.
-- Order:      events about one user in the sequence in which they stand: if one is deferred, those
--             after it are.
-- Result:     one row an event; deferred ones have had no effect.
--
-- Users whose rows are locked are found by FOR UPDATE SKIP LOCKED, without waiting. Not all locks show
-- there: another transaction may be making a row of the same id, or a trigger of the customer's may wait for
-- something else. If one is in the way still, events are applied one by one, and after some waits the
-- rest is deferred untried, so that a call ends in time.
CREATE OR REPLACE FUNCTION capydb_auth.apply_around_locks(
    p_events capydb_auth.user_event[]
)
RETURNS TABLE (ordinal integer, outcome text, reason text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $fn$
#variable_conflict use_column
DECLARE
    c_locked   constant text := 'the user is locked by another transaction in the project''s database';
    c_lock     constant text := 'a lock that is needed to write the user is held by another transaction in the project''s database';
    c_waits    constant integer := 20;
    v_busy     text[];
    v_free     capydb_auth.user_event[];
    v_event    capydb_auth.user_event;
    v_waits    integer := 0;
    v_ordinals integer[];
    v_outcomes text[];
    v_reasons  text[];
BEGIN
    SELECT coalesce(array_agg(a.user_id) FILTER (WHERE h.is_there AND t.is_taken IS NULL), '{}')
    INTO v_busy
    FROM (SELECT DISTINCT e.user_id FROM unnest(p_events) AS e) AS a
    LEFT JOIN LATERAL (
        SELECT true AS is_there FROM capydb_auth.users AS i WHERE i.id = a.user_id LIMIT 1
    ) AS h ON true
    LEFT JOIN LATERAL (
        SELECT true AS is_taken FROM capydb_auth.users AS i WHERE i.id = a.user_id LIMIT 1
        FOR NO KEY UPDATE SKIP LOCKED
    ) AS t ON true;

    RETURN QUERY
    SELECT e.ordinal, 'deferred', c_locked
    FROM unnest(p_events) AS e
    WHERE e.user_id = ANY (v_busy);

    SELECT coalesce(array_agg(p_events[i] ORDER BY i), '{}')
    INTO v_free
    FROM generate_subscripts(p_events, 1) AS i
    WHERE (p_events[i]).user_id <> ALL (v_busy);

    BEGIN
        -- By way of variables: rows that were returned would stay after an error.
        SELECT array_agg(r.ordinal), array_agg(r.outcome), array_agg(r.reason)
        INTO v_ordinals, v_outcomes, v_reasons
        FROM capydb_auth.apply_rounds(v_free) AS r;

        RETURN QUERY
        SELECT r.ordinal, r.outcome, r.reason
        FROM unnest(v_ordinals, v_outcomes, v_reasons) AS r (ordinal, outcome, reason);
        RETURN;
    EXCEPTION WHEN lock_not_available OR deadlock_detected OR serialization_failure THEN
        v_busy := '{}';
    END;

    FOREACH v_event IN ARRAY v_free LOOP
        outcome := NULL;
        IF v_waits < c_waits AND v_event.user_id <> ALL (v_busy) THEN
            BEGIN
                SELECT r.ordinal, r.outcome, r.reason
                INTO STRICT ordinal, outcome, reason
                FROM capydb_auth.apply_rounds(ARRAY[v_event]) AS r;
            EXCEPTION WHEN lock_not_available OR deadlock_detected OR serialization_failure THEN
                v_waits := v_waits + 1;
                v_busy := v_busy || v_event.user_id;
            END;
        END IF;
        IF outcome IS NULL THEN
            ordinal := v_event.ordinal;
            outcome := 'deferred';
            reason := c_lock;
        END IF;
        RETURN NEXT;
    END LOOP;
END;
$fn$;

COMMENT ON FUNCTION capydb_auth.apply_around_locks(capydb_auth.user_event[])
    IS 'Applies events, except those that need what another transaction has locked; called by apply_events only.';
