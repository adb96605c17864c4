-- due_reconciles gives the integrations whose option reconcile.every asks for a
-- reconcile now: that much time has passed since the newest run of either kind began
-- (a backfill makes the mirror equal, too), and none is at work.
--
-- Repeatable: it changes nothing.
-- Order:      of no matter.
-- Result:     one row for each of them; those that have waited longest come first.
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
    LEFT JOIN LATERAL (
        SELECT b.started_at, b.finished_at
        FROM authsync.backfills AS b
        WHERE b.project_id = i.project_id AND b.provider = i.provider
        ORDER BY b.started_at DESC
        LIMIT 1
    ) AS last ON true
    WHERE i.options #>> '{reconcile,every}' <> ''
      AND (last.started_at IS NULL
           OR (last.finished_at IS NOT NULL
               AND last.started_at <= p_now - (i.options #>> '{reconcile,every}')::interval))
    ORDER BY last.started_at NULLS FIRST, i.project_id, i.provider;
$fn$;

COMMENT ON FUNCTION authsync.due_reconciles(timestamptz)
    IS 'The integrations whose schedule asks for a reconcile now.';
