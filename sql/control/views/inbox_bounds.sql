-- inbox_bounds shows the days (UTC) that each partition of the inbox is for, without the default
-- partition. All partitions begin and end at midnight.
CREATE OR REPLACE VIEW authsync.inbox_bounds AS
SELECT
    c.oid::regclass AS inbox_partition,
    (b.bounds[1]::timestamptz AT TIME ZONE 'UTC')::date AS from_day,
    (b.bounds[2]::timestamptz AT TIME ZONE 'UTC')::date AS to_day
FROM pg_catalog.pg_inherits AS h
JOIN pg_catalog.pg_class AS c ON c.oid = h.inhrelid
CROSS JOIN LATERAL regexp_match(
    pg_catalog.pg_get_expr(c.relpartbound, c.oid), $re$^FOR VALUES FROM \('([^']+)'\) TO \('([^']+)'\)$re$
) AS b (bounds)
WHERE h.inhparent = 'authsync.inbox'::regclass AND b.bounds IS NOT NULL;

COMMENT ON VIEW authsync.inbox_bounds IS 'The days that each partition of the inbox is for: from from_day, before to_day (UTC).';
