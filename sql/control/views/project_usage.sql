-- project_usage shows how much each project has stored in the inbox.
CREATE OR REPLACE VIEW authsync.project_usage AS
SELECT
    p.id AS project_id,
    p.name AS project,
    coalesce(sum(u.message_count), 0)::bigint AS messages,
    coalesce(sum(u.byte_count), 0)::bigint AS bytes,
    pg_size_pretty(coalesce(sum(u.byte_count), 0)::bigint) AS size,
    min(u.day) AS oldest_day
FROM authsync.projects AS p
LEFT JOIN authsync.inbox_usage AS u ON u.project_id = p.id
GROUP BY p.id, p.name;

COMMENT ON VIEW authsync.project_usage IS 'How much each project has stored in the inbox, about; see AUTHSYNC_PROJECT_QUOTA_BYTES.';
