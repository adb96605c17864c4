-- One index for who waits and one for who is under way, in place of one for both.
--
-- Why:   whether a user has a delivery under way is asked for each one that is finished. In one
--        index that was a walk over all that waits of the user; now it is one look, and that
--        there is never more than one is a constraint.
-- Locks: writing to deliveries waits while the table is read twice, some seconds for a
--        million rows; reading goes on. Until then changes wait in the projects' databases.
--        (CONCURRENTLY would leave an upgrade that was cut short for a person to mend.)

-- squawk-ignore require-concurrent-index-creation
CREATE INDEX deliveries_blocked_idx ON authsync.deliveries (destination_id, user_id, change_id) WHERE state = 'blocked';

-- squawk-ignore require-concurrent-index-creation
CREATE UNIQUE INDEX deliveries_under_way_key ON authsync.deliveries (destination_id, user_id) WHERE state IN ('ready', 'retrying');

-- squawk-ignore require-concurrent-index-deletion
DROP INDEX authsync.deliveries_lane_idx;
