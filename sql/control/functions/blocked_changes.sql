-- blocked_changes gives the changes of users that are blocked for a destination, in the order in which they
-- will be sent. Who sends reads them ahead: each alone would be a walk over all that the user has
-- changed since.
--
-- Repeatable: it changes nothing.
-- Order:      the answer has none; of each user they are the earliest.
-- Result:     ids of user_changes, at most p_limit of each user.
CREATE OR REPLACE FUNCTION authsync.blocked_changes(
    p_destination_id uuid,
    p_user_ids       text[],
    p_limit          integer
)
RETURNS TABLE (change_id bigint)
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $fn$
BEGIN
    RETURN QUERY
    SELECT n.change_id
    FROM unnest(p_user_ids) AS u (user_id)
    CROSS JOIN LATERAL (
        SELECT w.change_id
        FROM authsync.deliveries AS w
        WHERE w.destination_id = p_destination_id AND w.user_id = u.user_id AND w.state = 'blocked'
        ORDER BY w.change_id
        LIMIT p_limit
    ) AS n;
END;
$fn$;

COMMENT ON FUNCTION authsync.blocked_changes(uuid, text[], integer)
    IS 'The changes of users that are blocked for a destination, the earliest of each.';
