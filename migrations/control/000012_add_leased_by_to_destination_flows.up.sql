-- Who holds the lease of a destination, so that it ends with the process.
--
-- Why:   a lease of a process that died kept its destinations silent until it lapsed.
-- Locks: destination_progress, exclusively, for a moment: no row is written.

ALTER TABLE authsync.destination_progress
    ADD COLUMN leased_by  text,
    ADD COLUMN leased_job bigint;

COMMENT ON COLUMN authsync.destination_progress.leased_by IS 'The River client that holds the lease.';
COMMENT ON COLUMN authsync.destination_progress.leased_job IS 'The job that took it (river_job.id).';
