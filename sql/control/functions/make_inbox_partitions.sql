-- make_inbox_partitions makes the partitions of authsync.inbox and
-- authsync.event_outcomes for the given days (UTC), and for every other day of
-- which rows sit in a default partition.
--
-- Repeatable: a day that has its partitions is left alone.
-- Order:      concurrent calls take turns. Messages are stored meanwhile, except for moments:
--             a few rows of a default partition move to where they belong; one that
--             holds many becomes the partition of their days itself
--             (keep_default_partitions). Waits for locks end after two seconds with an
--             error that leaves all as it was.
-- Result:     the days that were new, and how many rows moved.
CREATE OR REPLACE FUNCTION authsync.make_inbox_partitions(
    p_from date,
    p_days integer
)
RETURNS TABLE (day date, moved bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET datestyle = 'ISO'
SET lock_timeout = '2s'
AS $fn$
DECLARE
    v_parent    text;
    v_partition text;
    v_moved     bigint;
    v_covered   datemultirange;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('authsync.inbox_partitions', 0));

    day := authsync.keep_default_partitions();
    IF day IS NOT NULL THEN
        moved := 0;
        RETURN NEXT;
    END IF;
    SELECT range_agg(daterange(b.from_day, b.to_day)) INTO v_covered FROM authsync.inbox_bounds AS b;

    FOR day IN
        SELECT p_from + n FROM generate_series(0, p_days - 1) AS n
        UNION
        SELECT i.received_at::date FROM authsync.inbox_default AS i
        UNION
        SELECT e.received_at::date FROM authsync.event_outcomes_default AS e
        ORDER BY 1
    LOOP
        moved := 0;
        CONTINUE WHEN coalesce(day <@ v_covered, false);

        FOREACH v_parent IN ARRAY ARRAY['inbox', 'event_outcomes'] LOOP
            v_partition := v_parent || '_' || to_char(day, 'YYYYMMDD');
            -- ATTACH locks the parent such that reading and inserting go on; CREATE TABLE
            -- PARTITION OF would not. The CHECK is the proof that spares it a scan.
            EXECUTE format(
                'CREATE TABLE authsync.%I (LIKE authsync.%I INCLUDING DEFAULTS INCLUDING CONSTRAINTS,
                     CONSTRAINT day CHECK (received_at >= %L AND received_at < %L))',
                v_partition, v_parent, day::timestamptz, (day + 1)::timestamptz);
            EXECUTE format('LOCK TABLE authsync.%I IN ACCESS EXCLUSIVE MODE', v_parent || '_default');
            EXECUTE format(
                'WITH moving AS (
                     DELETE FROM authsync.%I WHERE received_at >= $1 AND received_at < $2 RETURNING *
                 )
                 INSERT INTO authsync.%I SELECT * FROM moving',
                v_parent || '_default', v_partition)
                USING day::timestamptz, (day + 1)::timestamptz;
            GET DIAGNOSTICS v_moved = ROW_COUNT;
            moved := moved + v_moved;
            EXECUTE format('ALTER TABLE authsync.%I ATTACH PARTITION authsync.%I FOR VALUES FROM (%L) TO (%L)',
                v_parent, v_partition, day::timestamptz, (day + 1)::timestamptz);
            EXECUTE format('ALTER TABLE authsync.%I DROP CONSTRAINT day', v_partition);
            EXECUTE format('COMMENT ON TABLE authsync.%I IS %L', v_partition,
                format('The part of authsync.%s that was received on %s (UTC).', v_parent, day));
        END LOOP;
        RETURN NEXT;
    END LOOP;
END;
$fn$;

COMMENT ON FUNCTION authsync.make_inbox_partitions(date, integer)
    IS 'Makes the inbox''s partitions of some days, and of all days that have rows in the default partition.';
