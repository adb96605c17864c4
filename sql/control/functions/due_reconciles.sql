-- due_reconciles returns the integrations due for a reconcile: the interval of their option
-- reconcile.every, or reconcile_default, has passed since the start of the newest one that was no dry
-- run, or, without one, since the first backfill; and no run is unfinished. An interval of never
-- is never due.
--
-- Repeatable: it changes nothing.
-- Order:      none.
-- Result:     one row per integration, the longest overdue first.
CREATE OR REPLACE FUNCTION authsync.due_reconciles(
    p_now timestamptz
)
RETURNS TABLE (project_id uuid, provider text)
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $fn$
    SELECT i.project_id, i.provider
    FROM authsync.integrations AS i
    CROSS JOIN LATERAL (
        SELECT
            coalesce(
                max(b.started_at) FILTER (WHERE b.kind = 'reconcile' AND b.options ->> 'dry_run' IS DISTINCT FROM 'true'),
                min(b.started_at) FILTER (WHERE b.kind = 'backfill')
            ) AS began,
            coalesce(bool_or(b.finished_at IS NULL), false) AS is_busy
        FROM authsync.sync_runs AS b
        WHERE b.project_id = i.project_id AND b.provider = i.provider
    ) AS last
    CROSS JOIN LATERAL (
        SELECT nullif(nullif(coalesce(i.options #>> '{reconcile,every}', i.reconcile_default), 'never'), '')::interval AS every
    ) AS schedule
    WHERE schedule.every IS NOT NULL
      AND NOT last.is_busy
      AND coalesce(last.began <= p_now - schedule.every, true)
    ORDER BY last.began NULLS FIRST, i.project_id, i.provider;
$fn$;

COMMENT ON FUNCTION authsync.due_reconciles(timestamptz)
    IS 'The integrations due for a reconcile.';
