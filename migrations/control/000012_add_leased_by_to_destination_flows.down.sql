-- Leases lapse.

ALTER TABLE authsync.destination_flows
    DROP COLUMN leased_job,
    DROP COLUMN leased_by;
