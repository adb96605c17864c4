-- prune_inbox_partitions drops the days of authsync.inbox and
-- authsync.event_outcomes that lie before a day (UTC). A day is kept whole as long
-- as one of its deliveries has no outcome, or a failed event of it is still being
-- tried again by a job. What no job will change, and what belongs to a project that
-- is gone, holds no day.
--
-- Repeatable: what is gone is not reported again; what was kept is tried again.
-- Order:      oldest first; concurrent calls take turns. All checks come before
--             the first drop, which locks out deliveries until the end of the
--             transaction: call it in one of its own. It waits half a second at
--             most for that lock, for deliveries queue behind it, and then fails
--             without having dropped anything.
-- Result:     every day before p_before, dropped or with the reason it was kept.
CREATE OR REPLACE FUNCTION authsync.prune_inbox_partitions(
    p_before date
)
RETURNS TABLE (day date, dropped boolean, reason text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET lock_timeout = '500ms'
AS $fn$
DECLARE
    v_days   date[] := ARRAY[]::date[];
    v_suffix text;
    v_open   bigint;
    v_failed bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('authsync.inbox_partitions', 0));

    FOR day, v_suffix IN
        SELECT to_date(d.suffix, 'YYYYMMDD'), d.suffix
        FROM pg_inherits AS h
        JOIN pg_class AS c ON c.oid = h.inhrelid
        CROSS JOIN LATERAL substring(c.relname FROM '^inbox_(\d{8,})$') AS d (suffix)
        WHERE h.inhparent = 'authsync.inbox'::regclass AND to_date(d.suffix, 'YYYYMMDD') < p_before
        ORDER BY 1
    LOOP
        -- Nobody writes to a day of the past, except a clock that is far off.
        EXECUTE format('LOCK TABLE authsync.%I IN SHARE MODE', 'inbox_' || v_suffix);
        EXECUTE format(
            'SELECT count(*) FILTER (WHERE e.outcome IS NULL OR e.outcome = ''pending''), count(*) FILTER (WHERE e.outcome = ''failed'')
             FROM authsync.%I AS i
             JOIN authsync.projects AS p ON p.id = i.project_id
             LEFT JOIN authsync.%I AS e ON e.inbox_id = i.id AND e.received_at = i.received_at
             WHERE e.outcome IS NULL OR e.outcome = ''pending''
                OR (e.outcome = ''failed'' AND EXISTS (
                    SELECT FROM authsync.river_job AS r
                    WHERE r.kind = ''retry_event'' AND r.finalized_at IS NULL
                      AND r.args @> jsonb_build_object(''inbox_id'', e.inbox_id, ''ordinal'', e.ordinal)))',
            'inbox_' || v_suffix, 'event_outcomes_' || v_suffix)
            INTO v_open, v_failed;
        dropped := v_open = 0 AND v_failed = 0;
        IF dropped THEN
            v_days := v_days || day;
        ELSE
            reason := format('%s deliveries without outcome, %s failed events that are tried again', v_open, v_failed);
            RETURN NEXT;
        END IF;
    END LOOP;

    dropped := true;
    reason := NULL;
    FOREACH day IN ARRAY v_days LOOP
        EXECUTE format('DROP TABLE authsync.%I, authsync.%I',
            'inbox_' || to_char(day, 'YYYYMMDD'), 'event_outcomes_' || to_char(day, 'YYYYMMDD'));
        RETURN NEXT;
    END LOOP;
    -- What is gone is used no longer.
    DELETE FROM authsync.inbox_usage AS u
    WHERE u.day < p_before
        AND NOT EXISTS (SELECT FROM authsync.inbox_bounds AS b WHERE u.day >= b.from_day AND u.day < b.to_day);
END;
$fn$;

COMMENT ON FUNCTION authsync.prune_inbox_partitions(date)
    IS 'Drops the inbox''s partitions before a day, except those with deliveries that are not finished.';
