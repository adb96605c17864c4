-- changes_by_id gives changes of records of all types together with the whole row as
-- each left it, and as it was before. Deliveries are made of these.
--
-- A change holds the row as it left it. Of the row before, it holds the columns that changed, except
-- raw, which is that of the record's previous change: so each costs a look-up or two, however often the
-- record has changed.
--
-- Repeatable: it changes nothing; later changes of a record change nothing of the answer.
-- Order:      the answer has none; sort it by id.
-- Result:     one row for each id that the feed has. before_row is NULL where the record was new;
--             its raw is null where the previous change is no longer in the feed. user_id and
--             organization_id are those that the record is or belongs to, NULL if there is none.
CREATE OR REPLACE FUNCTION capydb_auth.changes_by_id(
    p_ids bigint[]
)
RETURNS TABLE (
    id bigint, record_type text, record_id text, user_id text, organization_id text, kind text, changed text[],
    record_row jsonb, before_row jsonb, provider text, event_id text, event_at timestamptz, changed_at timestamptz
)
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_sort = off
AS $fn$
BEGIN
    RETURN QUERY
    SELECT
        c.id, c.record_type, c.record_id,
        CASE c.record_type WHEN 'user' THEN c.record_id ELSE c.after ->> 'user_id' END,
        CASE c.record_type WHEN 'organization' THEN c.record_id ELSE c.after ->> 'organization_id' END,
        c.kind, c.changed,
        c.after || jsonb_build_object('raw', c.raw),
        CASE WHEN c.before IS NOT NULL THEN
            c.after || c.before || jsonb_build_object('raw', CASE WHEN b.raw_changed THEN p.raw ELSE c.raw END)
        END,
        c.provider, c.event_id, c.event_at, c.changed_at
    FROM unnest(p_ids) AS a (id)
    CROSS JOIN LATERAL (
        SELECT i.* FROM capydb_auth.changes AS i WHERE i.id = a.id LIMIT 1
    ) AS c
    CROSS JOIN LATERAL (SELECT c.before IS NOT NULL AND 'raw' = ANY (c.changed) AS raw_changed) AS b
    -- By all columns of the index, so that no plan can walk through the feed by id.
    LEFT JOIN LATERAL (
        SELECT i.raw
        FROM capydb_auth.changes AS i
        WHERE b.raw_changed
          AND (i.record_id, i.record_type, i.id) >= (c.record_id, c.record_type, 0)
          AND (i.record_id, i.record_type, i.id) < (c.record_id, c.record_type, c.id)
        ORDER BY i.record_id DESC, i.record_type DESC, i.id DESC
        LIMIT 1
    ) AS p ON true;
END;
$fn$;

COMMENT ON FUNCTION capydb_auth.changes_by_id(bigint[])
    IS 'Changes of records with the whole row as each left it and as it was before.';
