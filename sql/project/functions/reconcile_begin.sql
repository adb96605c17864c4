-- reconcile_begin makes room for the findings of a run; those of an earlier one of
-- the same provider are forgotten.
--
-- Repeatable: findings of the same run are forgotten too: it begins anew.
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
    DELETE FROM capydb_auth.reconcile_findings AS f
    WHERE f.provider = p_provider;

    INSERT INTO capydb_auth.reconcile_findings (provider, user_id, run_id, finding, state)
    VALUES (p_provider, '', p_run_id, 'begun', 'none');
$fn$;

COMMENT ON FUNCTION capydb_auth.reconcile_begin(uuid, text)
    IS 'Makes room for the findings of a reconcile.';
