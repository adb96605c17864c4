-- keep_default_partitions makes the default partitions of authsync.inbox and
-- authsync.event_outcomes, where they hold many rows, the partitions of the days of these
-- rows, and gives the parents new, empty ones. No row moves, so senders wait for a moment
-- only, however many rows there are. It is part of make_inbox_partitions and called by nothing
-- else.
--
-- Repeatable: the new default partitions hold nothing, so a second call does nothing.
-- Order:      concurrent calls take turns, among each other and with make_inbox_partitions.
-- Result:     the last of the days, after which the partitions are named; NULL where
--             nothing was done: few rows, or days between that have partitions already.
CREATE OR REPLACE FUNCTION authsync.keep_default_partitions()
RETURNS date
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET datestyle = 'ISO'
SET lock_timeout = '2s'
AS $fn$
DECLARE
    -- So many rows move within some milliseconds.
    v_few       CONSTANT integer := 1000;
    v_parent    text;
    v_partition text;
    v_first     date;
    v_last      date;
    v_rows      bigint;
    v_bounds    text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('authsync.inbox_partitions', 0));

    SELECT min(d.day), max(d.day), sum(d.rows)::bigint
    INTO v_first, v_last, v_rows
    FROM (
        SELECT i.received_at::date AS day, count(*) AS rows FROM authsync.inbox_default AS i GROUP BY 1
        UNION ALL
        SELECT e.received_at::date, count(*) FROM authsync.event_outcomes_default AS e GROUP BY 1
    ) AS d;
    IF v_rows IS NULL OR v_rows <= v_few THEN
        RETURN NULL;
    END IF;
    IF EXISTS (SELECT FROM authsync.inbox_bounds AS b WHERE b.from_day <= v_last AND b.to_day > v_first) THEN
        RETURN NULL;
    END IF;

    v_bounds := format('FOR VALUES FROM (%L) TO (%L)', v_first::timestamptz, (v_last + 1)::timestamptz);
    FOREACH v_parent IN ARRAY ARRAY['inbox', 'event_outcomes'] LOOP
        v_partition := v_parent || '_' || to_char(v_last, 'YYYYMMDD');
        EXECUTE format('ALTER TABLE authsync.%I DETACH PARTITION authsync.%I', v_parent, v_parent || '_default');
        EXECUTE format('ALTER TABLE authsync.%I RENAME TO %I', v_parent || '_default', v_partition);
        EXECUTE format('ALTER TABLE authsync.%I ATTACH PARTITION authsync.%I %s', v_parent, v_partition, v_bounds);
        EXECUTE format('COMMENT ON TABLE authsync.%I IS %L', v_partition,
            format('The part of authsync.%s that was received from %s to %s (UTC).', v_parent, v_first, v_last));
        EXECUTE format('CREATE TABLE authsync.%I (LIKE authsync.%I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)',
            v_parent || '_default', v_parent);
        EXECUTE format('ALTER TABLE authsync.%I ATTACH PARTITION authsync.%I DEFAULT', v_parent, v_parent || '_default');
        EXECUTE format('COMMENT ON TABLE authsync.%I IS %L', v_parent || '_default',
            format('What no partition of authsync.%s is for; empty when all is well.', v_parent));
    END LOOP;
    RETURN v_last;
END;
$fn$;

COMMENT ON FUNCTION authsync.keep_default_partitions()
    IS 'Makes default partitions of the inbox that hold many rows the partitions of their days; part of make_inbox_partitions.';
