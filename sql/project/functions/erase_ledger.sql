-- erase_ledger removes what the ledger has of a user: entries of the user, of its memberships and sessions, and those whose
-- event id has the user's id in it. It reads a page of the ledger, which has no index by record.
--
-- Repeatable: yes. The tombstone does what the ledger did: keep repetitions out.
-- Order:      before the rows of sessions are removed, which say whose they are.
-- Result:     how many entries were removed, and where the next page begins: behind that event of that provider; NULL: there
--             is none.
CREATE OR REPLACE FUNCTION capydb_auth.erase_ledger(
    p_user_id  text,
    p_is_long  boolean,
    p_provider text,
    p_event_id text,
    p_limit    integer
)
RETURNS TABLE (removed bigint, next_provider text, next_event_id text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_sort = off
AS $fn$
DECLARE
    v_last_provider text COLLATE "C";
    v_last_event_id text COLLATE "C";
BEGIN
    -- All entries of its last event belong to a page.
    SELECT p.provider, p.event_id INTO v_last_provider, v_last_event_id
    FROM capydb_auth.processed_events AS p
    WHERE (p.provider, p.event_id) > (p_provider, p_event_id)
    ORDER BY p.provider, p.event_id, p.record_type, p.record_id, p.received_at
    OFFSET p_limit - 1
    LIMIT 1;
    next_provider := v_last_provider;
    next_event_id := v_last_event_id;

    DELETE FROM capydb_auth.processed_events AS p
    WHERE (p.provider, p.event_id) > (p_provider, p_event_id)
      AND (v_last_provider IS NULL OR (p.provider, p.event_id) <= (v_last_provider, v_last_event_id))
      AND (
          (p.record_type = 'user' AND p.record_id = p_user_id)
          OR (p.record_type = 'membership' AND substr(p.record_id, strpos(p.record_id, '/') + 1) = p_user_id)
          OR (p.record_type = 'session' AND EXISTS (
              SELECT FROM capydb_auth.sessions AS s WHERE s.id = p.record_id AND s.user_id = p_user_id))
          OR (p_is_long AND strpos(p.event_id, p_user_id) > 0)
      );
    GET DIAGNOSTICS removed = ROW_COUNT;
    RETURN NEXT;
END;
$fn$;

COMMENT ON FUNCTION capydb_auth.erase_ledger(text, boolean, text, text, integer)
    IS 'Removes what a page of the ledger has of a user.';
