-- lock_mirror lets one caller at a time write to the mirror, until its transaction ends.
--
-- Repeatable: yes; within a transaction the second call costs next to nothing.
-- Order:      before anything is read that the caller relies on.
-- Result:     none. A wait beyond lock_timeout, for another caller or for whoever has locked a
--             whole table, is US001: nothing is wrong, try again.
CREATE OR REPLACE FUNCTION capydb_auth.lock_mirror()
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $fn$
BEGIN
    BEGIN
        PERFORM pg_advisory_xact_lock(hashtextextended('capydb_auth.apply_events', 0));
    EXCEPTION WHEN lock_not_available THEN
        RAISE EXCEPTION 'another batch has been at work in this mirror for longer than lock_timeout'
            USING ERRCODE = 'US001', HINT = 'Try again later.';
    END;
    BEGIN
        LOCK TABLE capydb_auth.users, capydb_auth.changes, capydb_auth.processed_events,
            capydb_auth.mirror_progress IN ROW EXCLUSIVE MODE;
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
        RAISE EXCEPTION 'another transaction in the project''s database has locked a table of schema capydb_auth'
            USING ERRCODE = 'US001', HINT = 'Nothing can be applied until it ends; pg_locks and pg_stat_activity say whose it is.';
    END;
END;
$fn$;

COMMENT ON FUNCTION capydb_auth.lock_mirror()
    IS 'Lets one caller at a time write to the mirror, until its transaction ends.';
