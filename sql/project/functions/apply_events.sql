CREATE OR REPLACE FUNCTION capydb_auth.apply_events(
    p_events jsonb
)
RETURNS TABLE (ordinal integer, outcome text, reason text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $fn$
DECLARE
    v_events jsonb[];
    v_ends   integer[];
    v_start  integer := 1;
    v_end    integer;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('capydb_auth.apply_events', 0));

    SELECT array_agg(r.doc ORDER BY r.round, r.ordinal),
           (SELECT array_agg(x ORDER BY x) FROM unnest(array_agg(DISTINCT r.round)) x)
    INTO v_events, v_ends
    FROM (
        SELECT e.doc, e.ordinal,
               row_number() OVER (PARTITION BY e.doc ->> 'user_id' ORDER BY e.ordinal) AS round
        FROM jsonb_array_elements(p_events) WITH ORDINALITY AS e (doc, ordinal)
    ) AS r;
    RETURN QUERY SELECT * FROM capydb_auth.apply_round(v_events);
END;
$fn$;
