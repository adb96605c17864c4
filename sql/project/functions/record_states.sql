-- record_states gives records as they are, for destinations that take states. Several
-- changes of a record may be united: the answer spans from the row before the first of
-- them to the row as all changes up to one of p_as_of left it.
--
-- Why not the row of now: changes after that one are still to be sent, each as what differs
-- from the row before it. A destination that was given too much already might never learn
-- that it was changed back.
--
-- Repeatable: it changes nothing.
-- Order:      the answer has none.
-- Result:     one row for each element of p_first, p_last and p_as_of whose changes the feed has:
--             the kind, the provider and the event of the last one, the row as of p_as_of, and the row before
--             the first one, which is NULL where the record was new.
CREATE OR REPLACE FUNCTION capydb_auth.record_states(
    p_first bigint[],
    p_last  bigint[],
    p_as_of bigint[]
)
RETURNS TABLE (
    id bigint, record_type text, record_id text, record_row jsonb, before_row jsonb,
    provider text, event_id text, event_at timestamptz, changed_at timestamptz, kind text
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
        l.id, l.record_type, l.record_id, s.after || jsonb_build_object('raw', s.raw), f.before_row,
        l.provider, l.event_id, l.event_at, l.changed_at, l.kind
    FROM unnest(p_first, p_last, p_as_of) AS p (first_id, last_id, as_of)
    CROSS JOIN LATERAL (
        SELECT i.id, i.record_type, i.record_id, i.provider, i.event_id, i.event_at, i.changed_at, i.kind
        FROM capydb_auth.changes AS i
        WHERE i.id = p.last_id
        LIMIT 1
    ) AS l
    -- Of an erasure the changes before it are gone.
    CROSS JOIN LATERAL capydb_auth.changes_by_id(ARRAY[CASE WHEN l.kind = 'erased' THEN l.id ELSE p.first_id END]) AS f
    -- By all columns of the index, so that no plan can walk through the feed by id.
    CROSS JOIN LATERAL (
        SELECT i.after, i.raw
        FROM capydb_auth.changes AS i
        WHERE (i.record_id, i.record_type, i.id) >= (l.record_id, l.record_type, l.id)
          AND (i.record_id, i.record_type, i.id) <= (l.record_id, l.record_type, greatest(p.as_of, l.id))
        ORDER BY i.record_id DESC, i.record_type DESC, i.id DESC
        LIMIT 1
    ) AS s;
END;
$fn$;

COMMENT ON FUNCTION capydb_auth.record_states(bigint[], bigint[], bigint[])
    IS 'Records as changes up to one left them, and as they were before the first of some changes.';
