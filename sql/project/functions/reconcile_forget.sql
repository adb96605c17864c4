-- reconcile_forget forgets p_limit findings of a provider: those of one run, or of all
-- if p_run_id is NULL. There is a finding for each record: all at once may take longer
-- than a statement may.
--
-- Repeatable: call it until it gives 0.
-- Order:      the row with the run that the findings belong to goes first, so that
--             a run whose findings are gone in part notices.
-- Result:     how many were forgotten.
CREATE OR REPLACE FUNCTION capydb_auth.reconcile_forget(
    p_provider text,
    p_run_id   uuid,
    p_limit    integer
)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_sort = off
AS $fn$
DECLARE
    v_forgotten bigint;
BEGIN
    DELETE FROM capydb_auth.reconcile_findings AS f
    WHERE f.ctid = ANY (ARRAY(
        SELECT i.ctid
        FROM capydb_auth.reconcile_findings AS i
        WHERE i.provider = p_provider AND (p_run_id IS NULL OR i.run_id = p_run_id)
        ORDER BY i.provider, i.record_type, i.record_id
        LIMIT p_limit
    ));
    GET DIAGNOSTICS v_forgotten = ROW_COUNT;
    RETURN v_forgotten;
END;
$fn$;

COMMENT ON FUNCTION capydb_auth.reconcile_forget(text, uuid, integer)
    IS 'Forgets some findings of reconciles; call it until it gives 0.';
