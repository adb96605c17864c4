-- reconcile_orphaned looks among the users of the mirror for those that the walk did
-- not meet, and notes them as open: each is to be read from the provider. It looks
-- at p_limit users behind p_after, in the order of their ids, so that a mirror of any
-- size is looked through in short calls.
--
-- Orphaned is a user of this provider who lives and whose last event is older than
-- p_begun, when the walk began: of a newer one the walk could not know. With
-- p_placeholders a placeholder that is older than that is noted as well; leave it to
-- false where another provider may know the user.
--
-- Repeatable: what has been noted stays.
-- Order:      when the walk has come to its end.
-- Result:     one row: the id of the last user looked at, NULL at the end, and how many
--             of those looked at are live users of the provider whom the mirror had
--             before the run. (Those whom the run itself brought must not make the
--             orphaned look small: another instance may have many. After the notes
--             were lost they look equal, and are known by the event that let them live.)
--             US003 if the notes of the run are gone.
CREATE OR REPLACE FUNCTION capydb_auth.reconcile_orphaned(
    p_run_id       uuid,
    p_provider     text,
    p_begun        timestamptz,
    p_placeholders boolean,
    p_after        text,
    p_limit        integer
)
RETURNS TABLE (last_id text, users bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_sort = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $fn$
#variable_conflict use_column
BEGIN
    PERFORM capydb_auth.require_reconcile(p_run_id, p_provider);

    RETURN QUERY
    WITH looked_at AS MATERIALIZED (
        SELECT
            u.id,
            u.provider = p_provider AND u.deleted_at IS NULL AS is_live,
            CASE
                WHEN p_placeholders AND u.last_event_processed IS NULL AND u.placeholder_since < p_begun THEN 'placeholder'
                WHEN u.provider = p_provider AND u.deleted_at IS NULL AND u.last_event_processed < p_begun THEN 'orphaned'
            END AS finding,
            (capydb_auth.version_of(
                u.last_event_processed, u.last_event_sent_at, u.last_event_id, u.last_event_fields, u.field_versions,
                'deleted_at', 256)).event_id AS alive_since
        FROM capydb_auth.users AS u
        WHERE u.id > p_after
        ORDER BY u.id
        LIMIT p_limit
    ),
    candidate AS MATERIALIZED (
        SELECT l.id, l.is_live, l.finding, l.alive_since, f.finding AS known
        FROM looked_at AS l
        LEFT JOIN LATERAL (
            SELECT i.finding
            FROM capydb_auth.reconcile_findings AS i
            WHERE i.provider = p_provider AND i.user_id = l.id COLLATE "C"
            LIMIT 1
        ) AS f ON true
    ),
    note AS (
        INSERT INTO capydb_auth.reconcile_findings (provider, user_id, run_id, finding, state)
        SELECT p_provider, c.id, p_run_id, c.finding, 'open'
        FROM candidate AS c
        WHERE c.finding IS NOT NULL
          AND c.known IS NULL
        ON CONFLICT (provider, user_id) DO NOTHING
    )
    SELECT
        CASE WHEN count(*) = p_limit THEN max(c.id) END,
        count(*) FILTER (
            WHERE c.is_live
              AND c.known IN ('missing', 'deleted') IS NOT TRUE
              AND NOT (
                  c.known IS NOT DISTINCT FROM 'equal'
                  AND coalesce(c.alive_since = 'reconcile:' || p_run_id, false)
              )
        )
    FROM candidate AS c;
END;
$fn$;

COMMENT ON FUNCTION capydb_auth.reconcile_orphaned(uuid, text, timestamptz, boolean, text, integer)
    IS 'Notes users of the mirror that a walk through the provider''s users did not meet; changes no user.';
