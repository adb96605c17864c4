-- remove_invitations removes some invitations, with their changes and what a reconcile has found of them.
--
-- Repeatable: yes.
-- Order:      after their tombstones are set; one caller at a time, like apply_next.
-- Result:     how many invitations and changes were removed.
CREATE OR REPLACE FUNCTION capydb_auth.remove_invitations(
    p_ids text[]
)
RETURNS TABLE (invitations bigint, changes bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $fn$
#variable_conflict use_column
BEGIN
    PERFORM capydb_auth.lock_mirror();

    DELETE FROM capydb_auth.changes AS c
    WHERE c.id IN (
        SELECT f.id
        FROM unnest(p_ids) AS i (id)
        CROSS JOIN LATERAL (
            SELECT g.id
            FROM capydb_auth.changes AS g
            WHERE (g.record_id, g.record_type, g.id) >= (i.id, 'invitation', 0)
              AND (g.record_id, g.record_type, g.id) <= (i.id, 'invitation', 9223372036854775807)
            OFFSET 0
        ) AS f
    );
    GET DIAGNOSTICS changes = ROW_COUNT;
    DELETE FROM capydb_auth.reconcile_findings AS f WHERE f.record_type = 'invitation' AND f.record_id = ANY (p_ids);
    DELETE FROM capydb_auth.invitations AS i WHERE i.id = ANY (p_ids);
    GET DIAGNOSTICS invitations = ROW_COUNT;
    RETURN NEXT;
END;
$fn$;

COMMENT ON FUNCTION capydb_auth.remove_invitations(text[])
    IS 'Removes some invitations with their changes.';
