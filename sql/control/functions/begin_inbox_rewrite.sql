-- begin_inbox_rewrite makes the partitions that will take the place of those of a day, empty for now, and sees to it that
-- changes of the old ones are noted from now on.
--
--     begin_inbox_rewrite ─▶ copy_inbox_rows … ─▶ follow_inbox_rewrite … ─▶ finish_inbox_rewrite
--              └──────────────── abandon_inbox_rewrite ◀────────────────────────┘
--
-- Until the last step everybody reads and writes the old partitions.
--
-- Repeatable: what is there already stays as it is; projects that are new are added.
-- Order:      before the first row is copied, in a transaction of its own. It waits for those who are writing to the day.
-- Result:     none.
CREATE OR REPLACE FUNCTION authsync.begin_inbox_rewrite(
    p_suffix   text,
    p_from_day date,
    p_to_day   date,
    p_kept     uuid[]
)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET datestyle = 'ISO'
SET lock_timeout = '1500ms'
AS $fn$
DECLARE
    v_parent text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('authsync.inbox_rewrites', 0));
    FOREACH v_parent IN ARRAY ARRAY['inbox', 'event_outcomes'] LOOP
        CONTINUE WHEN to_regclass(format('authsync.%I', v_parent || '_' || p_suffix || '_kept')) IS NOT NULL;
        -- With the indexes: ATTACH would build those that are missing, under its lock. The CHECK spares it a scan.
        EXECUTE format(
            'CREATE TABLE authsync.%I (LIKE authsync.%I INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES,
                 CONSTRAINT day CHECK (received_at >= %L AND received_at < %L))',
            v_parent || '_' || p_suffix || '_kept', v_parent, p_from_day::timestamptz, p_to_day::timestamptz);
        EXECUTE format('COMMENT ON TABLE authsync.%I IS %L', v_parent || '_' || p_suffix || '_kept',
            format('Will take the place of authsync.%s, with the rows of projects that keep them; see authsync.inbox_rewrites.',
                v_parent || '_' || p_suffix));
        EXECUTE format(
            'CREATE TRIGGER note_inbox_change AFTER INSERT OR UPDATE OR DELETE ON authsync.%I
                 FOR EACH ROW EXECUTE FUNCTION authsync.note_inbox_change(%L, %L)',
            v_parent || '_' || p_suffix, p_suffix, CASE v_parent WHEN 'inbox' THEN 'id' ELSE 'inbox_id' END);
    END LOOP;
    INSERT INTO authsync.inbox_rewrites (suffix, project_id)
    SELECT p_suffix, k.id FROM unnest(p_kept) AS k (id)
    ON CONFLICT (suffix, project_id) DO NOTHING;
END;
$fn$;

COMMENT ON FUNCTION authsync.begin_inbox_rewrite(text, date, date, uuid[])
    IS 'Makes the partitions that will take the place of those of a day.';
