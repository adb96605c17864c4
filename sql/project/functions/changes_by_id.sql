-- changes_by_id gives changes of the feed together with the whole row of users as
-- each left it, and as it was before. The outbox sends these.
--
-- The feed holds only what changed. The row as a change left it is the row of today
-- with every later change undone, the newest first: so the walk goes backwards through
-- each user's changes, down to the first one that is asked for. It costs a step for
-- every change of such a user since then.
--
-- Repeatable: it changes nothing; later changes of a user change nothing of the answer.
-- Order:      the answer has none; sort it by id.
-- Result:     one row for each id that the feed has. before_row is NULL where the user was new.
CREATE OR REPLACE FUNCTION capydb_auth.changes_by_id(
    p_ids bigint[]
)
RETURNS TABLE (
    id bigint, user_id text, kind text, changed text[], user_row jsonb, before_row jsonb,
    provider text, event_id text, event_at timestamptz, changed_at timestamptz
)
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_sort = on
AS $fn$
DECLARE
    v_change record;
    v_row    jsonb;
    v_user   text;
BEGIN
    FOR v_change IN
        WITH requested AS MATERIALIZED (
            SELECT c.id, c.user_id
            FROM unnest(p_ids) AS a (id)
            CROSS JOIN LATERAL (
                SELECT i.id, i.user_id FROM capydb_auth.user_changes AS i WHERE i.id = a.id LIMIT 1
            ) AS c
        ),
        span AS MATERIALIZED (
            SELECT a.user_id, min(a.id) AS first_id, array_agg(a.id) AS ids
            FROM requested AS a
            GROUP BY a.user_id
        )
        SELECT c.*, c.id = ANY (s.ids) AS is_requested
        FROM span AS s
        -- By both columns of the index, so that no plan can walk through the feed by id.
        CROSS JOIN LATERAL (
            SELECT i.*
            FROM capydb_auth.user_changes AS i
            WHERE (i.user_id, i.id) >= (s.user_id, s.first_id)
              AND (i.user_id, i.id) <= (s.user_id, 9223372036854775807)
            ORDER BY i.user_id DESC, i.id DESC
            LIMIT 9223372036854775807
        ) AS c
        ORDER BY c.user_id, c.id DESC
    LOOP
        IF v_user IS DISTINCT FROM v_change.user_id THEN
            v_user := v_change.user_id;
            -- Once a user: joined to each of the changes it is written as often as the user changed.
            SELECT capydb_auth.user_row(u) INTO v_row FROM capydb_auth.users AS u WHERE u.id = v_user;
            -- A row that somebody removed by hand is known by its changes only.
            v_row := coalesce(v_row, capydb_auth.user_row(
                jsonb_populate_record(NULL::capydb_auth.users, jsonb_build_object('id', v_user))
            ));
        END IF;
        -- Before and after have the same keys: of those that are only walked over, before is enough.
        IF v_change.is_requested OR v_change.before IS NULL THEN
            v_row := v_row || v_change.after;
        END IF;
        IF v_change.is_requested THEN
            id := v_change.id;
            user_id := v_change.user_id;
            kind := v_change.kind;
            changed := v_change.changed;
            user_row := v_row;
            before_row := v_row || v_change.before;
            provider := v_change.provider;
            event_id := v_change.event_id;
            event_at := v_change.event_at;
            changed_at := v_change.changed_at;
            RETURN NEXT;
        END IF;
        v_row := v_row || coalesce(v_change.before, '{}');
    END LOOP;
END;
$fn$;

COMMENT ON FUNCTION capydb_auth.changes_by_id(bigint[])
    IS 'Changes of the feed with the whole row as each left it and as it was before.';
