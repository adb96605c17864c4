-- note_inbox_change notes which message was changed in a partition that is being rewritten, or an outcome of which message. It
-- is the trigger that begin_inbox_rewrite puts on the old partitions; its arguments are their suffix
-- and the name of the column with the message.
--
-- Repeatable: it notes a change each time.
-- Order:      of no matter. Every writer adds a row of its own, so that none waits for another, and no row
--             disappears before the change that it is about can be seen.
-- Result:     none.
CREATE OR REPLACE FUNCTION authsync.note_inbox_change()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $fn$
DECLARE
    v_insert text := format('INSERT INTO authsync.inbox_rewrite_changes (suffix, inbox_id) VALUES ($1, ($2).%I)', TG_ARGV[1]);
BEGIN
    IF TG_OP = 'DELETE' THEN
        EXECUTE v_insert USING TG_ARGV[0], old;
    ELSE
        EXECUTE v_insert USING TG_ARGV[0], new;
    END IF;
    RETURN NULL;
END;
$fn$;

COMMENT ON FUNCTION authsync.note_inbox_change()
    IS 'Notes a message that was changed while its day is rewritten.';
