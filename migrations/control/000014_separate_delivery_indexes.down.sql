-- Both indexes have the same predicate again, which every version before used.
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX authsync.deliveries_unfinished_idx, authsync.deliveries_withheld_idx;

-- squawk-ignore require-concurrent-index-creation
CREATE INDEX deliveries_unfinished_idx ON authsync.deliveries (record_id, record_type, destination_id, change_id)
    WHERE state IN ('held', 'blocked', 'ready', 'retrying');

-- squawk-ignore require-concurrent-index-creation
CREATE INDEX deliveries_withheld_idx ON authsync.deliveries (record_id, record_type, destination_id, change_id)
    WHERE held_from IS NOT NULL AND state IN ('held', 'cancelled');
