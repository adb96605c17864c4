-- prune_ledger deletes entries of the ledger that were made before a time. A repetition of such an event is decided by
-- versions alone.
--
-- Repeatable: call it until it deletes none.
-- Order:      the oldest first.
-- Result:     the number deleted.
CREATE OR REPLACE FUNCTION capydb_auth.prune_ledger(
    p_before timestamptz,
    p_limit  integer
)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_tidscan = on
AS $fn$
DECLARE
    v_deleted integer;
BEGIN
    DELETE FROM capydb_auth.processed_events AS p
    WHERE p.ctid = ANY (ARRAY(
        SELECT o.ctid
        FROM capydb_auth.processed_events AS o
        WHERE o.processed_at < p_before
        ORDER BY o.processed_at
        LIMIT p_limit
    ));
    GET DIAGNOSTICS v_deleted = ROW_COUNT;
    RETURN v_deleted;
END;
$fn$;

COMMENT ON FUNCTION capydb_auth.prune_ledger(timestamptz, integer)
    IS 'Deletes entries of the ledger that were made before a time.';
