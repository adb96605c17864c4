-- apply_rounds applies events, several about one user one after another. It is part of apply_events
-- and is called by nothing else.
--
-- Repeatable: as apply_round.
-- Order:      events about one user in the sequence in which they stand.
-- Result:     one row an event. All events take effect or, on an error, none.
--
-- A lock is waited for only a moment (SET lock_timeout): that is long enough for transactions
-- that are short, and the caller goes around the others.
CREATE OR REPLACE FUNCTION capydb_auth.apply_rounds(
    p_events jsonb
)
RETURNS TABLE (ordinal integer, outcome text, reason text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '100ms'
AS $fn$
#variable_conflict use_column
DECLARE
    v_round jsonb[];
BEGIN
    FOR v_round IN
        SELECT array_agg(e.doc ORDER BY e.place)
        FROM (
            SELECT
                d.doc,
                d.place,
                row_number() OVER (PARTITION BY d.doc ->> 'user_id' ORDER BY d.place) AS round
            FROM jsonb_array_elements(p_events) WITH ORDINALITY AS d (doc, place)
        ) AS e
        GROUP BY e.round
        ORDER BY e.round
    LOOP
        RETURN QUERY
        SELECT r.ordinal, r.outcome, r.reason
        FROM capydb_auth.apply_round(v_round) AS r;
    END LOOP;
END;
$fn$;

COMMENT ON FUNCTION capydb_auth.apply_rounds(jsonb)
    IS 'Applies events, several about one user one after another; called by apply_events only.';
