-- prunable_changes gives the next changes that are past their retention, for prune_changes.
--
-- Repeatable: it changes nothing.
-- Order:      by id. It ends at the first change that is not older than p_before.
-- Result:     at most p_limit changes, up to the id p_to.
CREATE OR REPLACE FUNCTION capydb_auth.prunable_changes(
    p_before timestamptz,
    p_to     bigint,
    p_limit  integer
)
RETURNS TABLE (id bigint, record_type text, record_id text)
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_sort = off
AS $fn$
BEGIN
    RETURN QUERY
    WITH page AS MATERIALIZED (
        SELECT c.id, c.record_type, c.record_id, c.changed_at
        FROM capydb_auth.changes AS c
        WHERE c.id > (SELECT p.changes_to FROM capydb_auth.prune_progress AS p) AND c.id <= p_to
        ORDER BY c.id
        LIMIT p_limit
    )
    SELECT c.id, c.record_type, c.record_id
    FROM page AS c
    WHERE c.id < coalesce((SELECT min(n.id) FROM page AS n WHERE n.changed_at >= p_before), 9223372036854775807);
END;
$fn$;

COMMENT ON FUNCTION capydb_auth.prunable_changes(timestamptz, bigint, integer)
    IS 'The next changes that are past their retention.';
