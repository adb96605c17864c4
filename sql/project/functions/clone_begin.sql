-- clone_begin makes this mirror a clone of another, or has its rows copied once more. The ledger and the change feed of a
-- mirror that becomes a clone are emptied: those of the source take their place.
--
-- Repeatable: of the same source and epoch, the feed goes on where it is.
-- Order:      before rows are copied.
-- Result:     none. p_change_id is the newest change of the source at this time. If the source's mirror was made anew, what
--             this one has of its feed stays, and goes on behind that change.
CREATE OR REPLACE FUNCTION capydb_auth.clone_begin(
    p_source_id    uuid,
    p_source_epoch uuid,
    p_change_id    bigint
)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $fn$
BEGIN
    PERFORM capydb_auth.lock_mirror();

    IF NOT EXISTS (SELECT FROM capydb_auth.clone_progress AS c WHERE c.source_id = p_source_id) THEN
        DELETE FROM capydb_auth.clone_progress;
        TRUNCATE capydb_auth.changes, capydb_auth.processed_events;
        INSERT INTO capydb_auth.clone_progress (source_id, source_epoch, change_id, rows_from)
        VALUES (p_source_id, p_source_epoch, 0, p_change_id);
        RETURN;
    END IF;

    UPDATE capydb_auth.clone_progress AS c
    SET source_epoch = p_source_epoch, rows_from = p_change_id,
        change_id = CASE WHEN c.source_epoch = p_source_epoch THEN c.change_id ELSE p_change_id END;
END;
$fn$;

COMMENT ON FUNCTION capydb_auth.clone_begin(uuid, uuid, bigint)
    IS 'Makes this mirror a clone of another, or has its rows copied once more.';
