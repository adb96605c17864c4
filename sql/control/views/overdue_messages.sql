-- overdue_messages shows the messages that have had no outcome for more than a minute. When
-- all is well it is empty; project_lag has the reason why a project waits.
CREATE OR REPLACE VIEW authsync.overdue_messages AS
SELECT
    m.inbox_id,
    n.project_id,
    p.name AS project,
    i.provider,
    i.received_at,
    i.delivery_id
FROM authsync.inbox_pending AS n
LEFT JOIN authsync.projects AS p ON p.id = n.project_id
CROSS JOIN LATERAL unnest(n.inbox_ids) AS m (inbox_id)
CROSS JOIN LATERAL (
    SELECT d.provider, d.received_at, d.delivery_id
    FROM authsync.inbox AS d
    WHERE d.id = m.inbox_id AND d.received_at BETWEEN n.received_from AND n.received_to
    LIMIT 1
) AS i
WHERE n.received_to < clock_timestamp() - interval '1 minute';

COMMENT ON VIEW authsync.overdue_messages IS 'Messages that have had no outcome for more than a minute; empty when all is well.';
