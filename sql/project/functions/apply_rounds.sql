-- apply_rounds applies events, several about one record one after another. It is part of apply_events
-- and is called by nothing else.
--
-- Repeatable: as apply_round.
-- Order:      events about one record in the sequence in which they stand.
--             Records of which others are part (users, organizations) come first in a round.
-- Result:     one row an event. All events take effect or, on an error, none.
--
-- A lock is waited for only a moment (SET lock_timeout): that is long enough for transactions
-- that are short, and the caller goes around the others.
CREATE OR REPLACE FUNCTION capydb_auth.apply_rounds(
    p_events capydb_auth.event[]
)
RETURNS TABLE (ordinal integer, outcome text, reason text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '100ms'
AS $fn$
#variable_conflict use_column
DECLARE
    v_round capydb_auth.event[];
BEGIN
    -- Most batches have no record twice.
    IF (SELECT count(*) = count(DISTINCT (e.record_type || ' ' || e.record_id) COLLATE "C") FROM unnest(p_events) AS e) THEN
        RETURN QUERY
        SELECT r.ordinal, r.outcome, r.reason
        FROM capydb_auth.apply_round(p_events) AS r;
        RETURN;
    END IF;

    FOR v_round IN
        SELECT array_agg(x.event ORDER BY x.place)
        FROM (
            SELECT
                p_events[i] AS event,
                i AS place,
                row_number() OVER (PARTITION BY (p_events[i]).record_type, (p_events[i]).record_id ORDER BY i) AS round
            FROM generate_subscripts(p_events, 1) AS i
        ) AS x
        GROUP BY x.round
        ORDER BY x.round
    LOOP
        RETURN QUERY
        SELECT r.ordinal, r.outcome, r.reason
        FROM capydb_auth.apply_round(v_round) AS r;
    END LOOP;
END;
$fn$;

COMMENT ON FUNCTION capydb_auth.apply_rounds(capydb_auth.event[])
    IS 'Applies events, several about one record one after another; called by apply_events only.';
