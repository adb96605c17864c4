-- project_lag shows for each project how far applying is behind receiving.
--
-- It reads what waits, the jobs that are not finished and the edge of the inbox, never the
-- whole of it, so that it answers at once on the worst day too.
CREATE OR REPLACE VIEW authsync.project_lag AS
SELECT
    p.id AS project_id,
    p.name AS project,
    coalesce(w.messages, 0) AS pending_messages,
    coalesce(f.events, 0) AS failing_events,
    clock_timestamp() - w.oldest AS oldest_pending_age,
    latest.received_at AS last_received_at,
    done.applied_at AS last_applied_at,
    job.wait_reason
FROM authsync.projects AS p
LEFT JOIN (
    SELECT n.project_id, sum(n.messages) AS messages, min(n.received_from) AS oldest, min(n.inbox_ids[1]) AS oldest_id
    FROM authsync.inbox_pending AS n
    GROUP BY n.project_id
) AS w ON w.project_id = p.id
LEFT JOIN (
    SELECT (r.args ->> 'project_id')::uuid AS project_id, count(*) AS events
    FROM authsync.river_job AS r
    WHERE r.kind = 'retry_event' AND r.finalized_at IS NULL
    GROUP BY 1
) AS f ON f.project_id = p.id
LEFT JOIN LATERAL (
    SELECT r.metadata #>> '{output,wait_reason}' AS wait_reason
    FROM authsync.job_requests AS q
    JOIN authsync.river_job AS r ON r.id = q.job_id
    WHERE q.kind = 'apply_inbox' AND q.subject = p.id::text
      AND (r.state <> 'running' OR r.attempted_at > statement_timestamp() - interval '10 seconds')
) AS job ON true
-- By all columns of the index, none of which may be known to be equal to a value: a project whose last message came long
-- ago would be looked for in the index of all ids, from its end.
LEFT JOIN LATERAL (
    SELECT i.received_at
    FROM authsync.inbox AS i
    WHERE (i.project_id, i.id) >= (p.id, 0) AND (i.project_id, i.id) <= (p.id, 9223372036854775807)
    ORDER BY i.project_id DESC, i.id DESC
    LIMIT 1
) AS latest ON true
LEFT JOIN LATERAL ( -- the newest few, and each by its key: no plan can read more
    SELECT max(o.applied_at) AS applied_at
    FROM (
        SELECT i.id, i.received_at
        FROM authsync.inbox AS i
        WHERE (i.project_id, i.id) >= (p.id, 0) AND (i.project_id, i.id) < (p.id, coalesce(w.oldest_id, 9223372036854775807))
        ORDER BY i.project_id DESC, i.id DESC
        LIMIT 5
    ) AS n
    CROSS JOIN LATERAL (
        SELECT e.applied_at
        FROM authsync.event_outcomes AS e
        WHERE e.inbox_id = n.id AND e.received_at = n.received_at
        ORDER BY e.ordinal
        LIMIT 1
    ) AS o
) AS done ON true;

COMMENT ON VIEW authsync.project_lag IS 'For each project how far applying is behind receiving.';
COMMENT ON COLUMN authsync.project_lag.pending_messages IS 'Messages that wait to be applied.';
COMMENT ON COLUMN authsync.project_lag.failing_events IS 'Events that are tried again alone: they failed (see authsync.event_failures), or a lock in the project''s database is in their way.';
COMMENT ON COLUMN authsync.project_lag.oldest_pending_age IS 'Age of the oldest pending message; NULL: nothing is pending.';
COMMENT ON COLUMN authsync.project_lag.last_applied_at IS 'When an event of the five messages before the oldest pending one was final last.';
COMMENT ON COLUMN authsync.project_lag.wait_reason IS 'What the project database says, while its job waits for it.';
