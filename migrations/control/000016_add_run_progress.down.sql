-- Forgets when runs last made progress.
ALTER TABLE authsync.sync_runs DROP COLUMN progressed_at;
