-- abandon_inbox_rewrite removes what a rewrite of a day has made so far. The old partitions are as they were.
--
-- Repeatable: where there is no rewrite it does nothing.
-- Order:      it takes turns with the steps of a rewrite.
-- Result:     none.
CREATE OR REPLACE FUNCTION authsync.abandon_inbox_rewrite(
    p_suffix text
)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET client_min_messages = 'warning'
AS $fn$
DECLARE
    v_parent text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('authsync.inbox_rewrites', 0));
    FOREACH v_parent IN ARRAY ARRAY['inbox', 'event_outcomes'] LOOP
        CONTINUE WHEN to_regclass(format('authsync.%I', v_parent || '_' || p_suffix || '_kept')) IS NULL;
        EXECUTE format('DROP TRIGGER note_inbox_change ON authsync.%I', v_parent || '_' || p_suffix);
        EXECUTE format('DROP TABLE authsync.%I', v_parent || '_' || p_suffix || '_kept');
    END LOOP;
    DELETE FROM authsync.inbox_rewrites AS r WHERE r.suffix = p_suffix;
    DELETE FROM authsync.inbox_rewrite_changes AS c WHERE c.suffix = p_suffix;
END;
$fn$;

COMMENT ON FUNCTION authsync.abandon_inbox_rewrite(text)
    IS 'Removes what a rewrite of a day has made so far.';
