-- request_idle asks for jobs that nobody asked for: of destinations that have something to
-- send and no job, of projects with messages to apply and no job, and of projects whose feed has not
-- been looked at for a while, because somebody may have changed the mirror who could not say so.
--
-- Repeatable: yes.
-- Order:      of no matter; subjects come in one order, so that two callers cannot deadlock.
-- Result:     how many jobs it made.
CREATE OR REPLACE FUNCTION authsync.request_idle(
    p_looked_before timestamptz
)
RETURNS bigint
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $fn$
    SELECT count(*) FILTER (WHERE CASE o.kind
        WHEN 'deliver' THEN authsync.request_delivery(o.subject)
        WHEN 'relay_changes' THEN authsync.request_relay(o.subject)
        ELSE authsync.request_job(o.kind, o.subject::text, jsonb_build_object('project_id', o.subject))
    END)
    FROM (
        SELECT 'deliver' AS kind, d.id AS subject
        FROM authsync.destinations AS d
        LEFT JOIN authsync.job_requests AS r ON r.kind = 'deliver' AND r.subject = d.id::text
        WHERE r.job_id IS NULL AND authsync.has_work('deliver', d.id::text)
        UNION ALL
        SELECT DISTINCT 'relay_changes', d.project_id
        FROM authsync.destinations AS d
        LEFT JOIN authsync.job_requests AS r ON r.kind = 'relay_changes' AND r.subject = d.project_id::text
        WHERE r.job_id IS NULL AND (r.idle_since IS NULL OR r.idle_since < p_looked_before)
        UNION ALL
        SELECT 'apply_inbox', p.id
        FROM authsync.projects AS p
        LEFT JOIN authsync.job_requests AS r ON r.kind = 'apply_inbox' AND r.subject = p.id::text
        WHERE r.job_id IS NULL AND authsync.has_work('apply_inbox', p.id::text)
        ORDER BY 1, 2
    ) AS o;
$fn$;

COMMENT ON FUNCTION authsync.request_idle(timestamptz)
    IS 'Asks for jobs that nobody asked for: unsent deliveries, and feeds not looked at for a while.';
