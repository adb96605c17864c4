-- inbox_days shows the partitions of the inbox: how many deliveries each day has,
-- and how much room it takes together with its outcomes.
CREATE OR REPLACE VIEW authsync.inbox_days AS
SELECT
    to_date(substring(c.relname FROM '^inbox_(\d{8,})$'), 'YYYYMMDD') AS day,
    greatest(c.reltuples, 0)::bigint AS deliveries_estimate,
    pg_size_pretty(pg_total_relation_size(c.oid) + coalesce(pg_total_relation_size(o.oid), 0)) AS size,
    c.oid::regclass AS inbox_partition,
    o.oid::regclass AS outcomes_partition
FROM pg_inherits AS h
JOIN pg_class AS c ON c.oid = h.inhrelid
LEFT JOIN pg_class AS o ON o.relnamespace = c.relnamespace AND o.relname = replace(c.relname, 'inbox_', 'event_outcomes_')
WHERE h.inhparent = 'authsync.inbox'::regclass;

COMMENT ON VIEW authsync.inbox_days IS 'The inbox by day: deliveries and size. To see why an old day is kept: overdue_messages and event_failures.';
COMMENT ON COLUMN authsync.inbox_days.day IS 'The day (UTC); NULL is the default partition, which is empty when all is well.';
COMMENT ON COLUMN authsync.inbox_days.deliveries_estimate IS 'As of the last ANALYZE of the partition.';
