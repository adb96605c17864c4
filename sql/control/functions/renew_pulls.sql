-- renew_pulls prolongs the claims of a puller on those of its integrations that are still to be pulled. It names those that it
-- pulls: a claim that it could not release, or does not know to have, must end by itself.
--
-- Repeatable: yes.
-- Order:      rows are locked in the order of their key. One that its puller holds for a commit is
--             waited for, which takes a moment.
-- Result:     those that are still the puller's, with the time of their integration's last change.
CREATE OR REPLACE FUNCTION authsync.renew_pulls(
    p_claimed_by  uuid,
    p_until       timestamptz,
    p_project_ids uuid[],
    p_providers   text[]
)
RETURNS TABLE (project_id uuid, provider text, changed_at timestamptz)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $fn$
BEGIN
    RETURN QUERY
    WITH mine AS (
        SELECT p.project_id, p.provider, i.updated_at
        FROM unnest(p_project_ids, p_providers) AS h (project_id, provider)
        JOIN authsync.pulls AS p ON p.project_id = h.project_id AND p.provider = h.provider
        JOIN authsync.integrations AS i ON i.project_id = p.project_id AND i.provider = p.provider
        WHERE p.claimed_by = p_claimed_by
          AND i.options @> '{"pull": true}'
        ORDER BY p.project_id, p.provider
        FOR UPDATE OF p
    )
    UPDATE authsync.pulls AS p
    SET claimed_until = p_until
    FROM mine AS m
    WHERE p.project_id = m.project_id AND p.provider = m.provider
    RETURNING m.project_id, m.provider, m.updated_at;
END;
$fn$;

COMMENT ON FUNCTION authsync.renew_pulls(uuid, timestamptz, uuid[], text[])
    IS 'Prolongs the claims of a puller on integrations that are still to be pulled.';
