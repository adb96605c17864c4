-- erase_begin sets the tombstone of a user, from which on no event brings the user back, and makes the change that passes
-- the erasure on: it has the user's id and nothing else, and is removed once all destinations have heard of it.
--
-- Repeatable: an erasure, known by p_event_id, has one such change.
-- Order:      before anything else of the user is removed; one caller at a time, like apply_next.
-- Result:     the id of the change, and the addresses of e-mail that the mirror has of the user.
CREATE OR REPLACE FUNCTION capydb_auth.erase_begin(
    p_key      bytea,
    p_user_id  text,
    p_event_id text,
    p_at       timestamptz
)
RETURNS TABLE (change_id bigint, emails text[])
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $fn$
BEGIN
    PERFORM capydb_auth.lock_mirror();

    INSERT INTO capydb_auth.erasures (digest, erased_at)
    VALUES (capydb_auth.erasure_digest(p_key, 'user', p_user_id), p_at)
    ON CONFLICT (digest) DO NOTHING;

    emails := ARRAY(
        SELECT DISTINCT a.email
        FROM (
            SELECT u.email FROM capydb_auth.users AS u WHERE u.id = p_user_id
            UNION ALL
            SELECT u.email FROM capydb_auth.user_emails AS u WHERE u.user_id = p_user_id
        ) AS a
        WHERE a.email IS NOT NULL
    );

    change_id := (
        SELECT c.id
        FROM capydb_auth.changes AS c
        WHERE (c.record_id, c.record_type, c.id) >= (p_user_id, 'user', 0)
          AND (c.record_id, c.record_type, c.id) <= (p_user_id, 'user', 9223372036854775807)
          AND c.kind = 'erased' AND c.event_id = p_event_id
        ORDER BY c.record_id DESC, c.record_type DESC, c.id DESC
        LIMIT 1
    );
    IF change_id IS NULL THEN
        INSERT INTO capydb_auth.changes (
            record_type, record_id, kind, changed, before, after, before_raw, provider, event_id, event_at, changed_at
        )
        VALUES (
            'user', p_user_id, 'erased', '{}', NULL,
            jsonb_build_object('id', p_user_id),
            NULL,
            coalesce((SELECT u.provider FROM capydb_auth.users AS u WHERE u.id = p_user_id), ''),
            p_event_id, p_at, p_at)
        RETURNING id INTO change_id;
    END IF;
    RETURN NEXT;
END;
$fn$;

COMMENT ON FUNCTION capydb_auth.erase_begin(bytea, text, text, timestamptz)
    IS 'Sets the tombstone of a user and makes the change that passes the erasure on.';
