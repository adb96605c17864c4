-- The indexes by which a record's deliveries are found: those that are not finished, and the deletions that are withheld.
--
-- Why:   their predicates were also those of deliveries_blocked_idx and deliveries_held_idx, or followed from them, so for what is
--        asked of a record either could serve. Without statistics, or with those of an empty table, a plan read the other one
--        whole as well: all that waits, for each record. With predicates of their own there is no choice: queries
--        name them as they are here. finished_at is NULL in the same states as before, by a constraint.
-- Locks: authsync.deliveries against everything while it is read once and the index is built, which has an entry for each
--        delivery that is not finished: about a second for a million deliveries. Deliveries wait for that long; webhooks do not.

-- squawk-ignore require-concurrent-index-deletion
DROP INDEX authsync.deliveries_unfinished_idx, authsync.deliveries_withheld_idx;

-- squawk-ignore require-concurrent-index-creation
CREATE INDEX deliveries_unfinished_idx ON authsync.deliveries (record_id, record_type, destination_id, change_id)
    WHERE finished_at IS NULL;

-- squawk-ignore require-concurrent-index-creation
CREATE INDEX deliveries_withheld_idx ON authsync.deliveries (record_id, record_type, destination_id, change_id)
    WHERE held_from IS NOT NULL AND (state || '') IN ('held', 'cancelled');
