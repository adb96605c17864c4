-- The index by which deletions are found that are withheld from a destination, by their record.
--
-- Why:   it had the predicate of deliveries_held_idx, so for what is asked of a record either could serve. With statistics of an
--        empty table PostgreSQL 18 took the other one, and read all that is held back for each record. With a
--        predicate of its own there is no choice: queries name it as it is here.
-- Locks: authsync.deliveries against everything while it is read once and the index is built, which has an entry for each
--        deletion that is withheld: about a second for a million deliveries. Deliveries wait for that long; webhooks do not.

-- squawk-ignore require-concurrent-index-deletion
DROP INDEX authsync.deliveries_withheld_idx;

-- squawk-ignore require-concurrent-index-creation
CREATE INDEX deliveries_withheld_idx ON authsync.deliveries (record_id, record_type, destination_id, change_id)
    WHERE held_from IS NOT NULL AND (state || '') IN ('held', 'cancelled');
