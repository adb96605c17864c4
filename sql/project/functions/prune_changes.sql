-- prune_changes deletes changes that later ones of the same record, up to an id, have superseded. So each record keeps its
-- newest change, where reading the feed from its beginning ends. What stays is shown as ever: raw before a change is its own, and
-- raw after it is that of a later one.
--
-- Repeatable: yes. A change is looked at once; those before it of its record are found by the index.
-- Order:      p_to grows from call to call, by some thousand changes at most: it bounds the transaction. Readers of the
--             feed behind p_to miss nothing.
-- Result:     the number deleted.
CREATE OR REPLACE FUNCTION capydb_auth.prune_changes(
    p_to bigint
)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $fn$
DECLARE
    v_after   bigint;
    v_deleted integer;
BEGIN
    SELECT p.changes_to INTO v_after FROM capydb_auth.prune_progress AS p FOR UPDATE;

    DELETE FROM capydb_auth.changes AS c
    WHERE c.id = ANY (ARRAY(
        SELECT o.id
        FROM (
            SELECT DISTINCT ON (i.record_id, i.record_type) i.record_id, i.record_type, i.id
            FROM capydb_auth.changes AS i
            WHERE i.id > v_after AND i.id <= p_to
            ORDER BY i.record_id, i.record_type, i.id DESC
        ) AS n
        CROSS JOIN LATERAL (
            -- By all columns of the index, so that no plan can walk through the feed by id.
            SELECT i.id
            FROM capydb_auth.changes AS i
            WHERE (i.record_id, i.record_type, i.id) >= (n.record_id, n.record_type, 0)
              AND (i.record_id, i.record_type, i.id) < (n.record_id, n.record_type, n.id)
        ) AS o
        ORDER BY o.id
    ));
    GET DIAGNOSTICS v_deleted = ROW_COUNT;
    UPDATE capydb_auth.prune_progress AS p SET changes_to = greatest(p.changes_to, p_to);
    RETURN v_deleted;
END;
$fn$;

COMMENT ON FUNCTION capydb_auth.prune_changes(bigint)
    IS 'Deletes changes that later ones of the same record have superseded.';
