-- erase_invitations removes the invitations to some addresses of e-mail, with their changes, out of
-- a page of the invitations, and sets their tombstones: the provider still lists them. An invitation to the same address that is made
-- later is another one.
--
-- Repeatable: yes.
-- Order:      one caller at a time, like apply_next.
-- Result:     how many invitations and changes were removed, their ids, and the last id of the page; NULL: there is no other page.
CREATE OR REPLACE FUNCTION capydb_auth.erase_invitations(
    p_key    bytea,
    p_emails text[],
    p_after  text,
    p_limit  integer,
    p_at     timestamptz
)
RETURNS TABLE (invitations bigint, changes bigint, ids text[], next_after text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $fn$
#variable_conflict use_column
BEGIN
    PERFORM capydb_auth.lock_mirror();

    next_after := (SELECT i.id FROM capydb_auth.invitations AS i WHERE i.id > p_after ORDER BY i.id OFFSET p_limit - 1 LIMIT 1);
    ids := ARRAY(
        SELECT i.id
        FROM capydb_auth.invitations AS i
        WHERE i.id > p_after AND (next_after IS NULL OR i.id <= next_after)
          AND lower(i.email) IN (SELECT lower(e.email) FROM unnest(p_emails) AS e (email))
    );
    INSERT INTO capydb_auth.erasures (digest, erased_at)
    SELECT capydb_auth.erasure_digest(p_key, 'invitation', i.id), p_at FROM unnest(ids) AS i (id)
    ON CONFLICT (digest) DO NOTHING;

    SELECT r.invitations, r.changes INTO invitations, changes FROM capydb_auth.remove_invitations(ids) AS r;
    RETURN NEXT;
END;
$fn$;

COMMENT ON FUNCTION capydb_auth.erase_invitations(bytea, text[], text, integer, timestamptz)
    IS 'Removes the invitations to some addresses out of a page of them, and sets their tombstones.';
