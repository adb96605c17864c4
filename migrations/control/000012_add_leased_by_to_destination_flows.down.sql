-- Leases lapse.

ALTER TABLE authsync.destination_progress
    DROP COLUMN leased_job,
    DROP COLUMN leased_by;
