-- record_changes shows the changes of records of all types: what changed, before and after, raw
-- included. raw before is that of the record's previous change; where that is no longer in
-- the feed, before has no raw. It is read with the rights of whoever reads it, so that
-- row-level security of changes holds here too.
CREATE OR REPLACE VIEW capydb_auth.record_changes
WITH (security_invoker = true)
AS
SELECT
    c.id,
    c.record_type,
    c.record_id,
    c.kind,
    c.changed,
    CASE
        WHEN c.before IS NOT NULL AND 'raw' = ANY (c.changed) THEN c.before || coalesce((
            SELECT jsonb_build_object('raw', p.raw)
            FROM capydb_auth.changes AS p
            -- By all columns of the index, so that no plan can walk through the feed by id.
            WHERE (p.record_id, p.record_type, p.id) >= (c.record_id, c.record_type, 0)
              AND (p.record_id, p.record_type, p.id) < (c.record_id, c.record_type, c.id)
            ORDER BY p.record_id DESC, p.record_type DESC, p.id DESC
            LIMIT 1
        ), '{}')
        ELSE c.before
    END AS before,
    (
        SELECT jsonb_object_agg(n.name, CASE WHEN n.name = 'raw' THEN c.raw ELSE c.after -> n.name END)
        FROM unnest(c.changed) AS n (name)
    ) AS after,
    c.provider,
    c.event_id,
    c.event_at,
    c.changed_at
FROM capydb_auth.changes AS c;

COMMENT ON VIEW capydb_auth.record_changes
    IS 'The changes of records of all types in commit order: the columns that changed, before and after.';
