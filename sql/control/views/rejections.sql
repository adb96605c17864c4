-- rejections shows for each provider of a project whether its requests were refused lately,
-- and why the last one was.
--
-- An integration of which nothing was refused within the last week has no row. It reads
-- rejected_requests, which is small whatever happens.
CREATE OR REPLACE VIEW authsync.rejections AS
SELECT
    r.project_id,
    p.name AS project,
    r.provider,
    sum(r.request_count) FILTER (WHERE r.received_at > clock_timestamp() - interval '1 hour')::bigint AS last_hour,
    max(r.received_at) AS last_received_at,
    (array_agg(r.status ORDER BY r.id DESC))[1] AS last_status,
    (array_agg(r.reason ORDER BY r.id DESC))[1] AS last_reason,
    (array_agg(r.detail ORDER BY r.id DESC))[1] AS last_detail,
    array_agg(DISTINCT r.reason) AS reasons
FROM authsync.rejected_requests AS r
JOIN authsync.projects AS p ON p.id = r.project_id
GROUP BY r.project_id, p.name, r.provider;

COMMENT ON VIEW authsync.rejections IS 'Refused requests by integration: how many in the last hour, and why the last one; see rejected_requests.';
COMMENT ON COLUMN authsync.rejections.last_hour IS 'Requests refused within the last hour; NULL: none.';
COMMENT ON COLUMN authsync.rejections.last_detail IS 'What is wrong, and what to do.';
