-- overdue_messages shows the messages that have had no outcome for more than a minute. When
-- all is well it is empty; project_lag has the reason why a project waits.
CREATE OR REPLACE VIEW authsync.overdue_messages AS
SELECT
    w.inbox_id,
    w.project_id,
    p.name AS project,
    i.provider,
    i.received_at,
    i.message_id
FROM (
    SELECT m.inbox_id, n.project_id, n.received_from, n.received_to
    FROM authsync.inbox_pending AS n
    CROSS JOIN LATERAL unnest(n.inbox_ids) AS m (inbox_id)
    UNION ALL
    -- Put off alone, because of a lock in the project's database.
    SELECT o.inbox_id, o.project_id, min(o.received_at), max(o.received_at)
    FROM authsync.event_outcomes AS o
    WHERE o.outcome = 'pending'
    GROUP BY o.inbox_id, o.project_id
) AS w
LEFT JOIN authsync.projects AS p ON p.id = w.project_id
CROSS JOIN LATERAL (
    SELECT d.provider, d.received_at, d.message_id
    FROM authsync.inbox AS d
    WHERE d.id = w.inbox_id AND d.received_at BETWEEN w.received_from AND w.received_to
    LIMIT 1
) AS i
WHERE w.received_to < clock_timestamp() - interval '1 minute';

COMMENT ON VIEW authsync.overdue_messages IS 'Messages that have had no outcome for more than a minute; empty when all is well.';
