-- finish_inbox_rewrite puts the copied rows in the place of a day's partitions, in one transaction: whoever reads or writes
-- finds either the old ones or the new ones, with every change that was committed.
--
-- Repeatable: of a rewrite that is finished or abandoned it does nothing.
-- Order:      when all is copied and followed. It waits for locks as drop_inbox_partition does, and fails as that does.
-- Result:     true if they were put there; false if there is more to copy or to follow first, since a project keeps its rows by
--             now that did not when the copying began: begin, copy and follow again.
CREATE OR REPLACE FUNCTION authsync.finish_inbox_rewrite(
    p_suffix  text,
    p_now     timestamptz,
    p_default interval
)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET datestyle = 'ISO'
SET lock_timeout = '1500ms'
AS $fn$
DECLARE
    -- So many changes are followed within some milliseconds.
    v_few    CONSTANT integer := 1000;
    v_from   date;
    v_to     date;
    v_kept   uuid[];
    v_parent text;
    v_name   text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('authsync.inbox_partitions', 0));
    PERFORM pg_advisory_xact_lock(hashtextextended('authsync.inbox_rewrites', 0));
    IF to_regclass(format('authsync.%I', 'inbox_' || p_suffix || '_kept')) IS NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('LOCK TABLE authsync.%I, authsync.%I IN SHARE MODE', 'inbox_' || p_suffix, 'event_outcomes_' || p_suffix);
    IF authsync.follow_inbox_rewrite(p_suffix, v_few) = v_few THEN
        RETURN false;
    END IF;
    SELECT r.from_day, r.to_day, r.kept INTO v_from, v_to, v_kept
    FROM authsync.inbox_retention(p_now, p_default, p_suffix) AS r;
    IF v_from IS NULL OR EXISTS (
        SELECT FROM unnest(v_kept) AS k (id)
        WHERE NOT EXISTS (
            SELECT FROM authsync.inbox_rewrites AS w
            WHERE w.suffix = p_suffix AND w.project_id = k.id AND w.copied_to = 9223372036854775807
        )
    ) THEN
        RETURN false;
    END IF;

    PERFORM set_config('lock_timeout', '100ms', true);
    LOCK TABLE ONLY authsync.inbox, ONLY authsync.event_outcomes IN ACCESS EXCLUSIVE MODE;
    LOCK TABLE authsync.inbox_default, authsync.event_outcomes_default IN ACCESS EXCLUSIVE MODE;
    FOREACH v_parent IN ARRAY ARRAY['inbox', 'event_outcomes'] LOOP
        v_name := v_parent || '_' || p_suffix;
        EXECUTE format('DROP TABLE authsync.%I', v_name);
        EXECUTE format('ALTER TABLE authsync.%I RENAME TO %I', v_name || '_kept', v_name);
        EXECUTE format('ALTER TABLE authsync.%I ATTACH PARTITION authsync.%I FOR VALUES FROM (%L) TO (%L)',
            v_parent, v_name, v_from::timestamptz, v_to::timestamptz);
        EXECUTE format('ALTER TABLE authsync.%I DROP CONSTRAINT day', v_name);
        EXECUTE format('COMMENT ON TABLE authsync.%I IS %L', v_name,
            format('What projects keep of the part of authsync.%s that was received from %s to %s (UTC).', v_parent, v_from, v_to - 1));
    END LOOP;
    DELETE FROM authsync.inbox_rewrites AS r WHERE r.suffix = p_suffix;
    DELETE FROM authsync.inbox_rewrite_changes AS c WHERE c.suffix = p_suffix;
    -- What is gone is used no longer.
    DELETE FROM authsync.inbox_usage AS u WHERE u.day >= v_from AND u.day < v_to AND u.project_id <> ALL (v_kept);
    RETURN true;
END;
$fn$;

COMMENT ON FUNCTION authsync.finish_inbox_rewrite(text, timestamptz, interval)
    IS 'Puts the copied rows in the place of a day''s partitions.';
