-- inbox_unfinished counts what is not finished of a partition of the inbox: messages that wait to be applied, for the first
-- time or because of a replay, events that are put off, and failed ones that a job tries again. What no job will
-- change, and what belongs to a project that is gone, does not count.
--
-- It reads what waits, not the partition, however many messages that has.
--
-- Repeatable: it changes nothing.
-- Order:      of no matter.
-- Result:     one row for each project with something unfinished.
CREATE OR REPLACE FUNCTION authsync.inbox_unfinished(
    p_suffix   text,
    p_from_day date,
    p_to_day   date
)
RETURNS TABLE (project_id uuid, waiting bigint, failed bigint)
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $fn$
BEGIN
    FOR project_id, waiting, failed IN EXECUTE format(
        'SELECT u.project_id, count(*) FILTER (WHERE NOT u.is_failed), count(*) FILTER (WHERE u.is_failed)
         FROM (
             SELECT n.project_id, false AS is_failed
             FROM authsync.inbox_pending AS n
             CROSS JOIN LATERAL unnest(n.inbox_ids) AS m (id)
             JOIN authsync.%1$I AS i ON i.id = m.id
             WHERE n.received_to >= $1 AND n.received_from < $2
             UNION ALL
             SELECT e.project_id, false FROM authsync.%2$I AS e WHERE e.outcome = ''pending''
             UNION ALL
             SELECT e.project_id, true
             FROM authsync.%2$I AS e
             WHERE e.outcome = ''failed'' AND EXISTS (
                 SELECT FROM authsync.river_job AS r
                 WHERE r.kind = ''retry_event'' AND r.finalized_at IS NULL
                   AND r.args @> jsonb_build_object(''inbox_id'', e.inbox_id, ''ordinal'', e.ordinal))
         ) AS u
         JOIN authsync.projects AS p ON p.id = u.project_id
         GROUP BY u.project_id',
        'inbox_' || p_suffix, 'event_outcomes_' || p_suffix)
        USING p_from_day::timestamptz, p_to_day::timestamptz
    LOOP
        RETURN NEXT;
    END LOOP;
END;
$fn$;

COMMENT ON FUNCTION authsync.inbox_unfinished(text, date, date)
    IS 'Counts what is not finished of a partition of the inbox, by project.';
