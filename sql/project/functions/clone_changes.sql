-- clone_changes copies changes of the source's feed into the feed of this mirror, where they get ids of its own.
--
-- Repeatable: the page counts only if the last change that was copied is p_from.
-- Order:      pages follow one another, and the rows that they are about come before them.
-- Result:     the id of the newest change of this mirror; NULL: the page does not count. An erasure is no change to copy: a clone
--             has its own.
CREATE OR REPLACE FUNCTION capydb_auth.clone_changes(
    p_source_id   uuid,
    p_from        bigint,
    p_to          bigint,
    p_changes     jsonb[],
    p_erasure_key bytea
)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $fn$
BEGIN
    PERFORM capydb_auth.lock_mirror();

    UPDATE capydb_auth.clone_progress AS c SET change_id = p_to WHERE c.source_id = p_source_id AND c.change_id = p_from;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    INSERT INTO capydb_auth.changes (
        record_type, record_id, kind, changed, before, after, before_raw, provider, event_id, event_at, changed_at
    )
    SELECT
        r.record_type, r.record_id, r.kind, r.changed,
        r.before, r.after, r.before_raw, r.provider, r.event_id, r.event_at, r.changed_at
    FROM unnest(capydb_auth.clone_allowed('', p_changes, p_erasure_key)) WITH ORDINALITY AS u (doc, place)
    CROSS JOIN LATERAL jsonb_populate_record(NULL::capydb_auth.changes, u.doc) AS r
    WHERE r.kind <> 'erased'
    ORDER BY u.place;
    RETURN coalesce(pg_sequence_last_value(pg_get_serial_sequence('capydb_auth.changes', 'id')::regclass), 0);
END;
$fn$;

COMMENT ON FUNCTION capydb_auth.clone_changes(uuid, bigint, bigint, jsonb[], bytea)
    IS 'Copies changes of the source''s feed into the feed of this mirror.';
