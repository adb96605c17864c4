-- erase_begin sets the tombstone of a user, from which on no event brings the user back, and makes the change that passes
-- the erasure on: it has the user's id and nothing else, and is removed once all destinations have heard of it.
--
-- Repeatable: an erasure, known by p_event_id, has one such change.
-- Order:      before anything else of the user is removed; one caller at a time, like apply_next.
-- Result:     the id of the change, the addresses of e-mail that the mirror has of the user, and how many calls there were by now. It
--             counts as one, as the call that follows those which the caller knows of: a mirror that loses the erasure is known by
--             that. Of one that has lost something before nothing is erased, but US004 raised. NULL for p_epoch: it does not count.
CREATE OR REPLACE FUNCTION capydb_auth.erase_begin(
    p_key        bytea,
    p_user_id    text,
    p_event_id   text,
    p_at         timestamptz,
    p_epoch      uuid   DEFAULT NULL,
    p_applied_to bigint DEFAULT NULL
)
RETURNS TABLE (change_id bigint, emails text[], applied_to bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $fn$
#variable_conflict use_column
BEGIN
    PERFORM capydb_auth.lock_mirror();

    IF p_epoch IS NOT NULL THEN
        UPDATE capydb_auth.mirror_progress AS p
        SET applied_to = p.applied_to + 1
        WHERE p.epoch = p_epoch AND p.applied_to >= p_applied_to
        RETURNING p.applied_to INTO applied_to;
        IF applied_to IS NULL THEN
            RAISE EXCEPTION 'the mirror has lost calls that were applied to it: it was restored from a backup, or recreated'
                USING ERRCODE = 'US004', HINT = 'authsync repairs it by itself; see authsync doctor.';
        END IF;
    END IF;

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

COMMENT ON FUNCTION capydb_auth.erase_begin(bytea, text, text, timestamptz, uuid, bigint)
    IS 'Sets the tombstone of a user and makes the change that passes the erasure on.';
