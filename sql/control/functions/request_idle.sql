-- request_idle requests jobs that were never requested: for subjects with work but no job, because
-- rows were deleted or edited by hand, and for projects whose feed has not been read for a while,
-- because a writer may have died before it requested the relay.
--
-- Repeatable: yes.
-- Order:      none; subjects are sorted, so that two callers cannot deadlock.
-- Result:     the number of jobs made.
CREATE OR REPLACE FUNCTION authsync.request_idle(
    p_looked_before timestamptz
)
RETURNS bigint
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $fn$
    SELECT count(*) FILTER (WHERE CASE o.kind
        WHEN 'relay_changes' THEN authsync.request_relay(o.subject::uuid)
        ELSE authsync.request_job(o.kind, o.subject, o.args)
    END)
    FROM (
        SELECT w.kind, w.subject, w.args
        FROM (
            SELECT 'deliver' AS kind, d.id::text AS subject, jsonb_build_object('destination_id', d.id) AS args
            FROM authsync.destinations AS d
            UNION ALL
            SELECT k.kind, p.id::text, jsonb_build_object('project_id', p.id)
            FROM authsync.projects AS p
            CROSS JOIN unnest('{apply_inbox,repair_mirror}'::text[]) AS k (kind)
            UNION ALL
            SELECT DISTINCT 'refresh_users', u.project_id || '/' || u.provider,
                jsonb_build_object('project_id', u.project_id, 'provider', u.provider)
            FROM authsync.refresh_requests AS u
            WHERE u.abandoned_at IS NULL
            UNION ALL
            SELECT 'backfill', b.id::text, jsonb_build_object('run_id', b.id, 'project_id', b.project_id, 'run_kind', b.kind)
            FROM authsync.sync_runs AS b
            WHERE b.state IN ('running', 'waiting')
            UNION ALL
            SELECT 'erase_user', e.id::text, jsonb_build_object('erasure_id', e.id, 'project_id', e.project_id)
            FROM authsync.erasures AS e
            WHERE e.state = 'running'
            UNION ALL
            SELECT 'provision_webhook', h.project_id || '/' || h.provider,
                jsonb_build_object('project_id', h.project_id, 'provider', h.provider)
            FROM authsync.provisioned_webhooks AS h
            WHERE h.state IN ('pending', 'testing')
        ) AS w
        LEFT JOIN authsync.job_requests AS r ON r.kind = w.kind AND r.subject = w.subject
        WHERE r.job_id IS NULL AND authsync.has_work(w.kind, w.subject)
        UNION ALL
        SELECT DISTINCT 'relay_changes', d.project_id::text, NULL::jsonb
        FROM authsync.destinations AS d
        LEFT JOIN authsync.job_requests AS r ON r.kind = 'relay_changes' AND r.subject = d.project_id::text
        WHERE r.job_id IS NULL AND (r.idle_since IS NULL OR r.idle_since < p_looked_before)
        ORDER BY 1, 2
    ) AS o;
$fn$;

COMMENT ON FUNCTION authsync.request_idle(timestamptz)
    IS 'Requests jobs for work that has none, and for feeds not read for a while.';
