-- find_restored searches a range of blocks of a table for users or invitations that were erased: a mirror that was restored from a
-- backup has everybody whom it had then, and what is known of who was erased since are digests.
--
-- Repeatable: it changes nothing.
-- Order:      after the tombstones are set again: from then on no call brings a record into blocks that were searched, or moves one there,
--             because none writes rows of users and invitations that were erased.
-- Result:     the ids of these records, and whether there is no block behind the range. p_record_type is user or invitation, p_table
--             the table of these records, or changes. Each row of the range is read once, by where it is: so a search is continued by
--             the number of a block, which says nothing of anybody.
CREATE OR REPLACE FUNCTION capydb_auth.find_restored(
    p_key         bytea,
    p_record_type text,
    p_table       text,
    p_from        bigint,
    p_blocks      bigint
)
RETURNS TABLE (record_ids text[], is_last boolean)
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_indexscan = off
SET enable_bitmapscan = off
AS $fn$
DECLARE
    v_from tid := format('(%s,0)', p_from)::tid;
    v_to   tid := format('(%s,0)', p_from + p_blocks)::tid;
BEGIN
    IF p_table = 'users' THEN
        record_ids := ARRAY(
            SELECT u.id
            FROM capydb_auth.users AS u
            WHERE u.ctid >= v_from AND u.ctid < v_to
              AND encode(sha256(p_key || convert_to(p_record_type || ':' || u.id, 'UTF8')), 'hex')
                  IN (SELECT e.digest FROM capydb_auth.erasures AS e)
        );
    ELSIF p_table = 'invitations' THEN
        record_ids := ARRAY(
            SELECT i.id
            FROM capydb_auth.invitations AS i
            WHERE i.ctid >= v_from AND i.ctid < v_to
              AND encode(sha256(p_key || convert_to(p_record_type || ':' || i.id, 'UTF8')), 'hex')
                  IN (SELECT e.digest FROM capydb_auth.erasures AS e)
        );
    ELSE
        record_ids := ARRAY(
            SELECT c.record_id
            FROM (
                SELECT DISTINCT f.record_id
                FROM capydb_auth.changes AS f
                WHERE f.ctid >= v_from AND f.ctid < v_to AND f.record_type = p_record_type
            ) AS c
            WHERE encode(sha256(p_key || convert_to(p_record_type || ':' || c.record_id, 'UTF8')), 'hex')
                IN (SELECT e.digest FROM capydb_auth.erasures AS e)
        );
    END IF;
    is_last := p_from + p_blocks >= pg_relation_size(format('capydb_auth.%I', p_table)::regclass) / current_setting('block_size')::bigint;
    RETURN NEXT;
END;
$fn$;

COMMENT ON FUNCTION capydb_auth.find_restored(bytea, text, text, bigint, bigint)
    IS 'Searches a range of blocks of a table for users or invitations that were erased.';
