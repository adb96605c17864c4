-- reconcile_begin notes that the findings that follow are those of a run. Those of
-- earlier ones have been forgotten before; see reconcile_forget.
--
-- Repeatable: a second call changes nothing.
-- Order:      before all else of the run.
-- Result:     none.
CREATE OR REPLACE FUNCTION capydb_auth.reconcile_begin(
    p_run_id   uuid,
    p_provider text
)
RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $fn$
    INSERT INTO capydb_auth.reconcile_findings AS f (provider, record_type, record_id, run_id, finding, state)
    VALUES (p_provider, '', '', p_run_id, 'begun', 'none')
    ON CONFLICT (provider, record_type, record_id) DO UPDATE SET run_id = excluded.run_id;
$fn$;

COMMENT ON FUNCTION capydb_auth.reconcile_begin(uuid, text)
    IS 'Notes that the findings that follow are those of a reconcile.';
