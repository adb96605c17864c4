-- require_reconcile raises US003 unless the findings of a run are still there: a
-- crash of the server empties their table, and another run takes it over.
--
-- Repeatable: it changes nothing.
-- Order:      in the transaction that reads or writes findings.
-- Result:     none, or the error.
CREATE OR REPLACE FUNCTION capydb_auth.require_reconcile(
    p_run_id   uuid,
    p_provider text
)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $fn$
BEGIN
    PERFORM FROM capydb_auth.reconcile_findings AS f
    WHERE f.provider = p_provider AND f.record_type = '' AND f.record_id = '' AND f.run_id = p_run_id
    FOR KEY SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'what reconcile % of % had found is gone', p_run_id, p_provider
            USING ERRCODE = 'US003', HINT = 'The database server has crashed, or another run has begun: the run begins anew.';
    END IF;
END;
$fn$;

COMMENT ON FUNCTION capydb_auth.require_reconcile(uuid, text)
    IS 'Raises US003 if the findings of a reconcile are gone.';
