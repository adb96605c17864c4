-- wake_idle asks for jobs that nobody asked for: of destinations that have something to
-- send and no job, and of projects whose feed has not been looked at for a while,
-- because somebody may have changed the mirror who could not say so.
--
-- Repeatable: yes.
-- Order:      of no matter; subjects are woken in one order, so that two callers cannot deadlock.
-- Result:     how many jobs it asked for.
CREATE OR REPLACE FUNCTION authsync.wake_idle(
    p_looked_before timestamptz
)
RETURNS bigint
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $fn$
    SELECT count(authsync.wake(o.kind, o.subject))
    FROM (
        SELECT 'deliver' AS kind, d.id AS subject
        FROM authsync.destinations AS d
        LEFT JOIN authsync.wakes AS w ON w.kind = 'deliver' AND w.subject = d.id
        WHERE d.state = 'active' AND w.job_id IS NULL
          AND EXISTS (SELECT FROM authsync.deliveries AS r WHERE r.destination_id = d.id AND r.state = 'ready')
        UNION ALL
        SELECT DISTINCT 'relay_changes', d.project_id
        FROM authsync.destinations AS d
        LEFT JOIN authsync.wakes AS w ON w.kind = 'relay_changes' AND w.subject = d.project_id
        WHERE w.job_id IS NULL AND (w.rested_at IS NULL OR w.rested_at < p_looked_before)
        ORDER BY 1, 2
    ) AS o;
$fn$;

COMMENT ON FUNCTION authsync.wake_idle(timestamptz)
    IS 'Asks for jobs that nobody asked for: unsent deliveries, and feeds not looked at for a while.';
