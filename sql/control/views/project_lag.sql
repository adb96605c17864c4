-- project_lag shows for each project how far applying is behind receiving.
--
-- It reads the jobs that are not finished and the edge of the inbox, never the
-- whole of it, so that it answers at once on the worst day too.
CREATE OR REPLACE VIEW authsync.project_lag AS
SELECT
    p.id AS project_id,
    p.name AS project,
    coalesce(j.deliveries, 0) AS pending_deliveries,
    coalesce(j.jobs, 0) AS pending_jobs,
    coalesce(j.failing_events, 0) AS failing_events,
    clock_timestamp() - j.oldest AS oldest_pending_age,
    latest.received_at AS last_received_at,
    done.applied_at AS last_applied_at,
    j.waits_because
FROM authsync.projects AS p
LEFT JOIN (
    SELECT
        (r.args ->> 'project_id')::uuid AS project_id,
        sum(ids.deliveries) AS deliveries,
        count(*) FILTER (WHERE r.kind = 'apply_deliveries') AS jobs,
        count(*) FILTER (WHERE r.kind = 'apply_event') AS failing_events,
        min((r.args ->> 'received_from')::timestamptz) AS oldest,
        min(lower((r.args ->> 'inbox_ids')::int8multirange)) AS oldest_id,
        max(r.metadata #>> '{output,waits_because}') AS waits_because
    FROM authsync.river_job AS r
    LEFT JOIN LATERAL (
        SELECT sum(upper(u.ids) - lower(u.ids)) AS deliveries
        FROM unnest((r.args ->> 'inbox_ids')::int8multirange) AS u (ids)
    ) AS ids ON true
    WHERE r.kind IN ('apply_deliveries', 'apply_event') AND r.finalized_at IS NULL
    GROUP BY 1
) AS j ON j.project_id = p.id
LEFT JOIN LATERAL (
    SELECT i.received_at
    FROM authsync.inbox AS i
    WHERE i.project_id = p.id
    ORDER BY i.id DESC
    LIMIT 1
) AS latest ON true
LEFT JOIN LATERAL (
    SELECT e.applied_at
    FROM authsync.inbox AS i
    JOIN authsync.event_outcomes AS e ON e.inbox_id = i.id AND e.received_at = i.received_at
    WHERE i.project_id = p.id AND i.id < coalesce(j.oldest_id, 9223372036854775807) AND e.applied_at IS NOT NULL
    ORDER BY i.id DESC
    LIMIT 1
) AS done ON true;

COMMENT ON VIEW authsync.project_lag IS 'For each project how far applying is behind receiving.';
COMMENT ON COLUMN authsync.project_lag.pending_deliveries IS 'Deliveries whose apply_deliveries job is not finished.';
COMMENT ON COLUMN authsync.project_lag.failing_events IS 'Events that failed alone and are tried again; see authsync.event_failures.';
COMMENT ON COLUMN authsync.project_lag.oldest_pending_age IS 'Age of the oldest pending delivery; NULL: nothing is pending.';
COMMENT ON COLUMN authsync.project_lag.last_applied_at IS 'When the newest event before the oldest pending delivery was final.';
COMMENT ON COLUMN authsync.project_lag.waits_because IS 'What the project database says, while jobs are put off for it.';
