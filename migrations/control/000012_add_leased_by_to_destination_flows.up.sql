-- Who holds the lease of a destination, so that it ends with the process.
--
-- Why:   a lease of a process that died kept its destinations silent until it lapsed.
-- Locks: destination_flows, exclusively, for a moment: no row is written.

ALTER TABLE authsync.destination_flows
    ADD COLUMN leased_by text;

COMMENT ON COLUMN authsync.destination_flows.leased_by IS 'The River client that holds the lease.';
