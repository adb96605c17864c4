-- reconcile_page compares a page of a provider's users with the mirror, and notes
-- for each that the walk has met it, and what it found.
--
-- Repeatable: the first finding about a user stays; one that is found equal later, when
--             the page comes again after an interruption, has been repaired.
-- Order:      pages may come in any order.
-- Result:     those users that are not equal, or of whom something is tolerated, by the ordinal
--             of their event; is_open means that this page cannot decide and the record
--             must be read from the provider. US003 if the notes of the run are gone: it must begin anew.
--
-- p_is_whole: the objects hold all that the provider knows of a user. If not, a user
-- who differs is open: what is written shall be whole. For p_rules see compare_users.
CREATE OR REPLACE FUNCTION capydb_auth.reconcile_page(
    p_run_id   uuid,
    p_provider text,
    p_events   capydb_auth.event[],
    p_rules    jsonb,
    p_is_whole boolean
)
RETURNS TABLE (ordinal integer, finding text, columns text[], tolerated text[], is_open boolean)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $fn$
#variable_conflict use_column
BEGIN
    PERFORM capydb_auth.require_reconcile(p_run_id, p_provider);

    RETURN QUERY
    WITH compared AS MATERIALIZED (
        SELECT
            c.ordinal, c.user_id, c.finding, c.columns, c.tolerated,
            c.finding IN ('differing', 'deleted', 'unreported') AND (c.is_disputed OR NOT p_is_whole) AS is_open
        FROM capydb_auth.compare_users(p_events, p_rules, p_is_whole) AS c
    ),
    note AS (
        INSERT INTO capydb_auth.reconcile_findings AS f (provider, user_id, run_id, finding, columns, state)
        SELECT DISTINCT ON (c.user_id)
            p_provider,
            c.user_id,
            p_run_id,
            c.finding,
            c.columns,
            CASE WHEN c.finding = 'equal' THEN 'none' WHEN c.is_open THEN 'open' ELSE 'found' END
        FROM compared AS c
        ORDER BY c.user_id, c.ordinal
        ON CONFLICT (provider, user_id) DO UPDATE SET
            finding = CASE WHEN f.state = 'open' THEN excluded.finding ELSE f.finding END,
            columns = CASE WHEN f.state = 'open' THEN excluded.columns ELSE f.columns END,
            state   = CASE WHEN f.state = 'open' THEN 'none' ELSE 'repaired' END
        WHERE excluded.finding = 'equal' AND f.state IN ('open', 'found')
    )
    SELECT c.ordinal, c.finding, c.columns, c.tolerated, c.is_open
    FROM compared AS c
    WHERE c.finding <> 'equal' OR c.tolerated <> '{}';
END;
$fn$;

COMMENT ON FUNCTION capydb_auth.reconcile_page(uuid, text, capydb_auth.event[], jsonb, boolean)
    IS 'Compares a page of a provider''s users with the mirror and notes what it found; changes no user.';
