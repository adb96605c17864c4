-- Nothing is lost.

CREATE INDEX deliveries_lane_idx ON authsync.deliveries (destination_id, user_id, change_id)
    WHERE state IN ('blocked', 'ready', 'retrying');

DROP INDEX authsync.deliveries_under_way_key;

DROP INDEX authsync.deliveries_blocked_idx;
