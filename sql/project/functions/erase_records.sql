-- erase_records removes rows and changes of a user, its memberships and its sessions: a bounded number of changes in a call.
--
-- Repeatable: until nothing is left. A row goes after its changes, so that a call that is cut off is continued by the next.
-- Order:      after erase_begin; one caller at a time, like apply_next.
-- Result:     how many rows of each table were removed; the addresses of e-mail that the changes had; is_done: nothing is
--             left but the change p_keep.
CREATE OR REPLACE FUNCTION capydb_auth.erase_records(
    p_user_id text,
    p_keep    bigint,
    p_limit   integer
)
RETURNS TABLE (changes bigint, memberships bigint, sessions bigint, users bigint, findings bigint, emails text[], is_done boolean)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_sort = off
AS $fn$
#variable_conflict use_column
DECLARE
    v_members  text[];
    v_sessions text[];
    v_ids      bigint[];
    v_changes  bigint;
    v_emails   text[];
BEGIN
    PERFORM capydb_auth.lock_mirror();

    v_members := ARRAY(
        SELECT capydb_auth.membership_id(m.organization_id, m.user_id)
        FROM capydb_auth.memberships AS m WHERE m.user_id = p_user_id LIMIT 100);
    v_sessions := ARRAY(SELECT s.id FROM capydb_auth.sessions AS s WHERE s.user_id = p_user_id LIMIT 100);

    v_ids := ARRAY(
        SELECT c.id
        FROM (
            SELECT 'user' AS record_type, p_user_id AS record_id
            UNION ALL
            SELECT 'membership', m.id FROM unnest(v_members) AS m (id)
            UNION ALL
            SELECT 'session', s.id FROM unnest(v_sessions) AS s (id)
        ) AS r
        -- By all columns of the index, so that no plan can walk through the feed by id.
        CROSS JOIN LATERAL (
            SELECT i.id
            FROM capydb_auth.changes AS i
            WHERE (i.record_id, i.record_type, i.id) >= (r.record_id, r.record_type, 0)
              AND (i.record_id, i.record_type, i.id) <= (r.record_id, r.record_type, 9223372036854775807)
              AND i.id <> p_keep
            LIMIT p_limit
        ) AS c
        LIMIT p_limit
    );
    WITH gone AS (
        DELETE FROM capydb_auth.changes AS c WHERE c.id = ANY (v_ids) RETURNING c.record_type, c.after, c.after_email, c.before
    )
    SELECT
        (SELECT count(*) FROM gone),
        coalesce(array_agg(DISTINCT e.email) FILTER (WHERE e.email IS NOT NULL), '{}')
    INTO v_changes, v_emails
    FROM gone AS g
    LEFT JOIN LATERAL (
        SELECT g.after ->> 'email' AS email UNION SELECT g.after_email UNION SELECT g.before ->> 'email'
    ) AS e ON g.record_type = 'user';

    changes := v_changes;
    emails := v_emails;
    memberships := 0::bigint;
    sessions := 0::bigint;
    users := 0::bigint;
    findings := 0::bigint;
    is_done := false;
    IF changes < p_limit THEN
        DELETE FROM capydb_auth.memberships AS m
        WHERE m.user_id = p_user_id AND capydb_auth.membership_id(m.organization_id, m.user_id) = ANY (v_members);
        GET DIAGNOSTICS memberships = ROW_COUNT;
        DELETE FROM capydb_auth.sessions AS s WHERE s.id = ANY (v_sessions) AND s.user_id = p_user_id;
        GET DIAGNOSTICS sessions = ROW_COUNT;
        IF v_members = '{}' AND v_sessions = '{}' THEN
            DELETE FROM capydb_auth.users AS u WHERE u.id = p_user_id;
            GET DIAGNOSTICS users = ROW_COUNT;
            DELETE FROM capydb_auth.reconcile_findings AS f
            WHERE (f.record_type = 'user' AND f.record_id = p_user_id)
               OR (f.record_type = 'membership' AND substr(f.record_id, strpos(f.record_id, '/') + 1) = p_user_id);
            GET DIAGNOSTICS findings = ROW_COUNT;
            is_done := true;
        END IF;
    END IF;
    RETURN NEXT;
END;
$fn$;

COMMENT ON FUNCTION capydb_auth.erase_records(text, bigint, integer)
    IS 'Removes rows and changes of a user, its memberships and its sessions, a bounded number in a call.';
