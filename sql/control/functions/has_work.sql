-- has_work checks whether the job of a kind and subject has work, as far as this database knows.
--
-- Repeatable: it changes nothing.
-- Order:      finish_if_idle calls it while no requester is active, with a snapshot of its own.
-- Result:     true if there is work.
CREATE OR REPLACE FUNCTION authsync.has_work(
    p_kind    text,
    p_subject text
)
RETURNS boolean
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET plan_cache_mode = force_custom_plan -- deliveries has several indexes: the plan needs their statistics
AS $fn$
BEGIN
    CASE p_kind
        WHEN 'apply_inbox' THEN
            RETURN EXISTS (SELECT FROM authsync.inbox_pending AS p WHERE p.project_id = p_subject::uuid);
        WHEN 'deliver' THEN
            RETURN EXISTS (SELECT FROM authsync.destinations AS d WHERE d.id = p_subject::uuid AND d.state = 'active')
               AND EXISTS (SELECT FROM authsync.deliveries AS d WHERE d.destination_id = p_subject::uuid AND d.state = 'ready');
        WHEN 'refresh_users' THEN
            RETURN EXISTS (
                SELECT
                FROM authsync.refresh_requests AS w
                WHERE w.project_id = split_part(p_subject, '/', 1)::uuid AND w.provider = split_part(p_subject, '/', 2)
                  AND w.abandoned_at IS NULL
            );
        WHEN 'backfill' THEN
            RETURN EXISTS (SELECT FROM authsync.sync_runs AS b WHERE b.id = p_subject::uuid AND b.state IN ('running', 'waiting'));
        WHEN 'repair_mirror' THEN
            RETURN EXISTS (SELECT FROM authsync.mirror_repairs AS r WHERE r.project_id = p_subject::uuid AND r.finished_at IS NULL);
        WHEN 'erase_user' THEN
            RETURN EXISTS (SELECT FROM authsync.erasures AS e WHERE e.id = p_subject::uuid AND e.state = 'running');
        WHEN 'copy_mirror' THEN -- what a clone that follows has to do is known in its source's database only
            RETURN EXISTS (
                SELECT FROM authsync.clones AS c
                WHERE c.project_id = p_subject::uuid AND c.phase NOT IN ('following', 'still')
            );
        WHEN 'provision_webhook' THEN
            RETURN EXISTS (
                SELECT
                FROM authsync.provisioned_webhooks AS w
                JOIN authsync.integrations AS i ON i.project_id = w.project_id AND i.provider = w.provider
                WHERE w.project_id = split_part(p_subject, '/', 1)::uuid AND w.provider = split_part(p_subject, '/', 2)
                  AND w.state IN ('pending', 'testing') AND i.options ->> 'provision' = 'true'
            );
        ELSE
            RETURN false;
    END CASE;
END;
$fn$;

COMMENT ON FUNCTION authsync.has_work(text, text)
    IS 'Whether the job of a kind and subject has work.';
