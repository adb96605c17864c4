-- drop_inbox_partition drops a partition of authsync.inbox and that of authsync.event_outcomes, if no project keeps it.
--
-- Repeatable: of a partition that is gone it does nothing.
-- Order:      it takes turns with everything else that makes or drops partitions. It first waits for those who write to
--             the partition, such as replays and erasures, and checks it while others read. Then it waits for all who use
--             the parents: a tenth of a second at most, because messages queue behind it. It fails then
--             (lock_not_available), without having dropped anything; call it again. The files are deleted after
--             the locks are released.
-- Result:     true if it was dropped; false if a project keeps it, or there is none.
CREATE OR REPLACE FUNCTION authsync.drop_inbox_partition(
    p_suffix  text,
    p_now     timestamptz,
    p_default interval
)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET lock_timeout = '1500ms'
AS $fn$
DECLARE
    v_from date;
    v_to   date;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('authsync.inbox_partitions', 0));
    PERFORM pg_advisory_xact_lock(hashtextextended('authsync.inbox_rewrites', 0));
    IF to_regclass(format('authsync.%I', 'inbox_' || p_suffix)) IS NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('LOCK TABLE authsync.%I, authsync.%I IN SHARE MODE', 'inbox_' || p_suffix, 'event_outcomes_' || p_suffix);
    SELECT r.from_day, r.to_day INTO v_from, v_to
    FROM authsync.inbox_retention(p_now, p_default, p_suffix) AS r
    WHERE r.kept = '{}';
    IF v_from IS NULL THEN
        RETURN false;
    END IF;

    PERFORM set_config('lock_timeout', '100ms', true);
    LOCK TABLE ONLY authsync.inbox, ONLY authsync.event_outcomes IN ACCESS EXCLUSIVE MODE;
    PERFORM authsync.abandon_inbox_rewrite(p_suffix);
    EXECUTE format('DROP TABLE authsync.%I, authsync.%I', 'inbox_' || p_suffix, 'event_outcomes_' || p_suffix);
    -- What is gone is used no longer.
    DELETE FROM authsync.inbox_usage AS u WHERE u.day >= v_from AND u.day < v_to;
    RETURN true;
END;
$fn$;

COMMENT ON FUNCTION authsync.drop_inbox_partition(text, timestamptz, interval)
    IS 'Drops a partition of the inbox that no project keeps.';
