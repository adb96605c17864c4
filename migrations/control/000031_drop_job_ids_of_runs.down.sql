-- Runs that are not finished lose their job, and get another within a minute.
ALTER TABLE authsync.sync_runs ADD COLUMN job_id bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN authsync.sync_runs.job_id IS 'The job that works on the run (river_job.id).';
DELETE FROM authsync.job_requests AS r WHERE r.kind IN ('backfill', 'repair_mirror');
