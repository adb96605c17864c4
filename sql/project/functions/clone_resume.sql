-- clone_resume notes that the source of this mirror has lost something: it was restored from a backup, or recreated. Which changes it
-- makes once more is told by what this mirror has of its feed by now.
--
-- Repeatable: of the same epoch and p_resumed_from it changes nothing.
-- Order:      before changes of the source behind p_resumed_from are copied.
-- Result:     none. Copying goes on behind p_resumed_from at the latest: no change with a greater id is one that was copied before,
--             even if the source gave that id once.
CREATE OR REPLACE FUNCTION capydb_auth.clone_resume(
    p_source_id    uuid,
    p_source_epoch uuid,
    p_resumed_from bigint
)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $fn$
BEGIN
    PERFORM capydb_auth.lock_mirror();

    UPDATE capydb_auth.clone_progress AS c SET
        source_epoch = p_source_epoch, source_resumed_from = p_resumed_from, change_id = least(c.change_id, p_resumed_from),
        repeats_to = coalesce(pg_sequence_last_value(pg_get_serial_sequence('capydb_auth.changes', 'id')::regclass), 0),
        rows_due = true
    WHERE c.source_id = p_source_id AND (c.source_epoch, c.source_resumed_from) <> (p_source_epoch, p_resumed_from);
END;
$fn$;

COMMENT ON FUNCTION capydb_auth.clone_resume(uuid, uuid, bigint)
    IS 'Notes that the source of this mirror has lost something.';
