-- record_problems records what an evaluation found: it opens new problems, refreshes those that are
-- still there, and closes those of the evaluated kinds that are gone. Each opening and closing gets its
-- calls to the operator's webhooks in the same transaction: one per target, and a closing only for targets
-- that get the opening.
--
-- Repeatable: yes; the same findings once more open and close nothing.
-- Order:      callers of the same time take turns, so two of them open a problem once. Projects and problems
--             that somebody else holds are left for the next evaluation.
-- Result:     the problems that were opened or closed.
--
-- p_found is an array of objects with kind, project_id, subject, severity, detail and next_step; the same kind, project and
-- subject counts once.
CREATE OR REPLACE FUNCTION authsync.record_problems(
    p_kinds   text[],
    p_found   jsonb,
    p_targets text[],
    p_now     timestamptz
)
RETURNS TABLE (problem_id bigint, event text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $fn$
DECLARE
    v_closed bigint[];
    v_opened bigint[];
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('authsync.record_problems', 0));

    WITH found AS MATERIALIZED (
        SELECT DISTINCT ON (f.kind, f.project_id, f.subject) f.*
        FROM jsonb_to_recordset(p_found) AS f (kind text, project_id uuid, subject text, severity text, detail text, next_step text)
        WHERE f.kind = ANY (p_kinds)
        ORDER BY f.kind, f.project_id, f.subject, f.severity
    ), known AS MATERIALIZED (
        SELECT p.id, p.kind, p.project_id, p.subject
        FROM authsync.problems AS p
        WHERE p.kind = ANY (p_kinds) AND p.closed_at IS NULL
        FOR UPDATE SKIP LOCKED
    ), refreshed AS (
        UPDATE authsync.problems AS p
        SET last_seen_at = greatest(p.last_seen_at, p_now), severity = f.severity, detail = f.detail, next_step = f.next_step
        FROM known AS k
        JOIN found AS f ON f.kind = k.kind AND f.project_id IS NOT DISTINCT FROM k.project_id AND f.subject = k.subject
        WHERE p.id = k.id
    ), closed AS (
        UPDATE authsync.problems AS p
        SET closed_at = greatest(p.last_seen_at, p_now)
        FROM known AS k
        WHERE p.id = k.id AND NOT EXISTS (
            SELECT
            FROM found AS f
            WHERE f.kind = k.kind AND f.project_id IS NOT DISTINCT FROM k.project_id AND f.subject = k.subject
        )
        RETURNING p.id
    ), living AS MATERIALIZED (
        SELECT p.id
        FROM authsync.projects AS p
        WHERE p.id IN (SELECT f.project_id FROM found AS f)
        FOR KEY SHARE SKIP LOCKED
    ), added AS (
        INSERT INTO authsync.problems AS p (kind, project_id, subject, severity, detail, next_step, opened_at, last_seen_at)
        SELECT f.kind, f.project_id, f.subject, f.severity, f.detail, f.next_step, p_now, p_now
        FROM found AS f
        WHERE f.project_id IS NULL OR f.project_id IN (SELECT l.id FROM living AS l)
        ORDER BY f.project_id NULLS FIRST, f.kind, f.subject
        ON CONFLICT (kind, (coalesce(project_id, '00000000-0000-0000-0000-000000000000'::uuid)), subject) WHERE closed_at IS NULL DO NOTHING
        RETURNING p.id
    )
    SELECT (SELECT array_agg(a.id ORDER BY a.id) FROM added AS a), (SELECT array_agg(c.id ORDER BY c.id) FROM closed AS c)
    INTO v_opened, v_closed;

    INSERT INTO authsync.problem_calls (problem_id, event, target, next_attempt_at)
    SELECT o.id, 'opened', t.target, p_now
    FROM unnest(v_opened) AS o (id)
    CROSS JOIN (SELECT DISTINCT u.target FROM unnest(p_targets) AS u (target)) AS t
    UNION ALL
    SELECT c.id, 'closed', k.target, p_now
    FROM unnest(v_closed) AS c (id)
    JOIN authsync.problem_calls AS k ON k.problem_id = c.id AND k.event = 'opened';

    RETURN QUERY
    SELECT o.id, 'opened' FROM unnest(v_opened) AS o (id)
    UNION ALL
    SELECT c.id, 'closed' FROM unnest(v_closed) AS c (id);
END;
$fn$;

COMMENT ON FUNCTION authsync.record_problems(text[], jsonb, text[], timestamptz)
    IS 'Opens, refreshes and closes problems by what an evaluation found.';
