-- sync_run_progress shows for each backfill and reconcile how far it is, newest first. The rate
-- is that of the time worked; time_left assumes that nothing holds the run up.
CREATE OR REPLACE VIEW authsync.sync_run_progress AS
SELECT
    b.id AS run_id,
    p.id AS project_id,
    p.name AS project,
    b.provider,
    b.kind,
    b.state,
    b.total,
    b.read,
    b.applied,
    b.unchanged,
    b.failed,
    round(100.0 * least(b.read, b.total) / nullif(b.total, 0), 1) AS percent,
    s.per_second,
    CASE WHEN b.finished_at IS NULL AND b.phase = 'walk' AND s.per_second > 0
        THEN make_interval(secs => (greatest(b.total - b.read, 0) / s.per_second)::double precision)
    END AS time_left,
    b.wait_reason,
    b.error,
    b.started_at,
    b.updated_at,
    b.finished_at,
    b.phase,
    b.progressed_at
FROM authsync.sync_runs AS b
JOIN authsync.projects AS p ON p.id = b.project_id
CROSS JOIN LATERAL (
    SELECT round((b.read / nullif(extract(epoch FROM b.worked), 0))::numeric, 1) AS per_second
) AS s
ORDER BY b.started_at DESC;

COMMENT ON VIEW authsync.sync_run_progress IS 'How far each backfill and reconcile is, newest first.';
COMMENT ON COLUMN authsync.sync_run_progress.per_second IS 'Records a second while it worked.';
COMMENT ON COLUMN authsync.sync_run_progress.progressed_at IS 'When its last page was committed; before the first, started_at.';
COMMENT ON COLUMN authsync.sync_run_progress.time_left IS 'Estimated from rate and total; NULL where they are not known.';
