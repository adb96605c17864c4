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
    p_events jsonb
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
    v_free     jsonb;
    v_event    jsonb;
    v_waits    integer := 0;
    v_ordinals integer[];
    v_outcomes text[];
    v_reasons  text[];
BEGIN
    SELECT coalesce(array_agg(a.user_id) FILTER (WHERE h.is_there AND t.is_taken IS NULL), '{}')
    INTO v_busy
    FROM (SELECT DISTINCT d.doc ->> 'user_id' AS user_id FROM jsonb_array_elements(p_events) AS d (doc)) AS a
    LEFT JOIN LATERAL (
        SELECT true AS is_there FROM capydb_auth.users AS i WHERE i.id = a.user_id LIMIT 1
    ) AS h ON true
    LEFT JOIN LATERAL (
        SELECT true AS is_taken FROM capydb_auth.users AS i WHERE i.id = a.user_id LIMIT 1
        FOR NO KEY UPDATE SKIP LOCKED
    ) AS t ON true;

    RETURN QUERY
    SELECT (d.doc ->> 'ordinal')::integer, 'deferred', c_locked
    FROM jsonb_array_elements(p_events) AS d (doc)
    WHERE d.doc ->> 'user_id' = ANY (v_busy);

    SELECT coalesce(jsonb_agg(d.doc ORDER BY d.place), '[]')
    INTO v_free
    FROM jsonb_array_elements(p_events) WITH ORDINALITY AS d (doc, place)
    WHERE d.doc ->> 'user_id' <> ALL (v_busy);

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

    FOR v_event IN
        SELECT d.doc
        FROM jsonb_array_elements(v_free) WITH ORDINALITY AS d (doc, place)
        ORDER BY d.place
    LOOP
        outcome := NULL;
        IF v_waits < c_waits AND v_event ->> 'user_id' <> ALL (v_busy) THEN
            BEGIN
                SELECT r.ordinal, r.outcome, r.reason
                INTO STRICT ordinal, outcome, reason
                FROM capydb_auth.apply_rounds(jsonb_build_array(v_event)) AS r;
            EXCEPTION WHEN lock_not_available OR deadlock_detected OR serialization_failure THEN
                v_waits := v_waits + 1;
                v_busy := v_busy || (v_event ->> 'user_id');
            END;
        END IF;
        IF outcome IS NULL THEN
            ordinal := (v_event ->> 'ordinal')::integer;
            outcome := 'deferred';
            reason := c_lock;
        END IF;
        RETURN NEXT;
    END LOOP;
END;
$fn$;

COMMENT ON FUNCTION capydb_auth.apply_around_locks(jsonb)
    IS 'Applies events, except those that need what another transaction has locked; called by apply_events only.';
