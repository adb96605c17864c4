-- Runs and repairs get their jobs by job_requests, as everything does of which there is one job a subject.
--
-- Why:   each kept its job by a protocol and a rescue of its own.
-- Locks: backfills, exclusively, for a moment: no row is written.
-- Breaking: an older version looks for a run's job in backfills.job_id, and makes jobs of repairs that do nothing.

INSERT INTO authsync.job_requests (kind, subject, args, job_id)
SELECT 'backfill', b.id::text, jsonb_build_object('run_id', b.id, 'project_id', b.project_id, 'run_kind', b.kind), b.job_id
FROM authsync.sync_runs AS b
WHERE b.state IN ('running', 'waiting');

-- Their jobs are of the older version, and end by themselves: what has no job gets one within a second.
INSERT INTO authsync.job_requests (kind, subject, args, job_id)
SELECT DISTINCT 'repair_mirror', r.project_id::text, jsonb_build_object('project_id', r.project_id), 0
FROM authsync.mirror_repairs AS r
WHERE r.finished_at IS NULL;

-- squawk-ignore ban-drop-column
ALTER TABLE authsync.sync_runs DROP COLUMN job_id;
