-- events shows one row an event: what came, and what happened to it.
--
-- A message whose events are not known yet is one row with outcome 'pending'.
-- Newest first and a LIMIT is fast, alone or with a project_id; so are an event_id,
-- and a project_id with a user_id. (record_id is computed: look for a record other than a user in event_outcomes.)
CREATE OR REPLACE VIEW authsync.events AS
SELECT
    i.project_id,
    p.name AS project,
    i.provider,
    e.event_id,
    e.type,
    e.user_id,
    coalesce(e.record_type, CASE WHEN e.user_id IS NOT NULL THEN 'user' END) AS record_type,
    coalesce(e.record_id, CASE WHEN e.record_type IS NULL THEN e.user_id END) AS record_id,
    e.event_time,
    coalesce(e.outcome, 'pending') AS outcome,
    -- Looked up by keys, and for events without an outcome alone. A job that has only just begun to try
    -- again may well have the same to say.
    coalesce(e.reason, CASE WHEN e.outcome IS NULL THEN (
        SELECT r.metadata #>> '{output,wait_reason}'
        FROM authsync.job_requests AS q
        JOIN authsync.river_job AS r ON r.id = q.job_id
        WHERE q.kind = 'apply_inbox' AND q.subject = i.project_id::text
          AND (r.state <> 'running' OR r.attempted_at > statement_timestamp() - interval '10 seconds')
    ) END) AS reason,
    i.received_at,
    e.applied_at,
    i.id AS inbox_id,
    coalesce(e.ordinal, 0) AS ordinal,
    i.message_id
FROM authsync.inbox AS i
LEFT JOIN authsync.event_outcomes AS e
    ON e.inbox_id = i.id AND e.received_at = i.received_at AND e.project_id = i.project_id
LEFT JOIN authsync.projects AS p ON p.id = i.project_id;

COMMENT ON VIEW authsync.events IS 'One row an event. The latest: SELECT * FROM authsync.events ORDER BY inbox_id DESC LIMIT 50.';
COMMENT ON COLUMN authsync.events.project IS 'The project''s name; NULL if it was deleted.';
COMMENT ON COLUMN authsync.events.user_id IS 'The user that the event is about, or whose membership or session it is about.';
COMMENT ON COLUMN authsync.events.record_type IS 'What the event is about: user, organization, membership, invitation or session.';
COMMENT ON COLUMN authsync.events.record_id IS 'The provider''s id of that; of a membership organization_id/user_id.';
COMMENT ON COLUMN authsync.events.event_time IS 'The provider''s clock of the event.';
COMMENT ON COLUMN authsync.events.outcome IS 'pending, applied, stale (newer events had already set all its fields), duplicate, ignored (not mirrored) or failed.';
COMMENT ON COLUMN authsync.events.reason IS 'Why it failed, was ignored or is deferred, also with all of its project''s; notes on what could not be taken over as it came.';
COMMENT ON COLUMN authsync.events.received_at IS 'When the request had been read whole.';
COMMENT ON COLUMN authsync.events.applied_at IS 'When the outcome was final; NULL while pending or failed.';
COMMENT ON COLUMN authsync.events.inbox_id IS 'Id of the delivery in authsync.inbox; grows with time.';
COMMENT ON COLUMN authsync.events.ordinal IS 'Place of the event in its delivery, from 0.';
COMMENT ON COLUMN authsync.events.message_id IS 'The sender''s id of the message, where it sends one in its headers.';
