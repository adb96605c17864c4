-- pull_health shows the integrations whose events are pulled: connected (or between two
-- connections), waiting for a turn, or failing, and why.
CREATE OR REPLACE VIEW authsync.pull_health AS
SELECT
    p.project_id,
    j.name AS project,
    p.provider,
    CASE
        WHEN p.wait_reason IS NOT NULL THEN 'failing'
        WHEN p.connected_since IS NOT NULL
            AND (p.claimed_until > clock_timestamp() OR p.last_ended_at > clock_timestamp() - interval '30 seconds') THEN 'connected'
        ELSE 'waiting'
    END AS state,
    p.connected_since,
    p.cursor_moved_at,
    p.messages,
    p.last_message_at,
    p.wait_reason,
    p.consecutive_failures,
    p.retry_at,
    p.lost_at,
    p.lost_reason,
    p.reconcile_due
FROM authsync.pulls AS p
JOIN authsync.projects AS j ON j.id = p.project_id
JOIN authsync.integrations AS i ON i.project_id = p.project_id AND i.provider = p.provider
WHERE i.options @> '{"pull": true}'
ORDER BY j.name, p.provider;

COMMENT ON VIEW authsync.pull_health IS 'Integrations whose events are pulled, and what is wrong with them.';
COMMENT ON COLUMN authsync.pull_health.state
    IS 'connected: events come as they happen; waiting: for its turn, or for a process with the role worker; failing: see wait_reason.';
COMMENT ON COLUMN authsync.pull_health.cursor_moved_at IS 'When the provider last said how far it is, with or without an event.';
COMMENT ON COLUMN authsync.pull_health.lost_at IS 'When events were lost last; a reconcile finds what they said.';
COMMENT ON COLUMN authsync.pull_health.reconcile_due IS 'That reconcile has not been started yet.';
