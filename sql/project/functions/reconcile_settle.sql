-- reconcile_settle notes what was found out about single records, or what happened to them.
--
-- Repeatable: what was found out about a record first stays.
-- Order:      found before repaired or failed.
-- Result:     none. US003 if the notes of the run are gone.
--
-- p_records are those of one record type, an array of objects: record_id; state; and, where the state
-- is found or none, finding and columns. Those of a record that is no longer open stay as they are.
CREATE OR REPLACE FUNCTION capydb_auth.reconcile_settle(
    p_run_id   uuid,
    p_provider text,
    p_type     text,
    p_records  jsonb
)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $fn$
BEGIN
    PERFORM capydb_auth.require_reconcile(p_run_id, p_provider);

    UPDATE capydb_auth.reconcile_findings AS f SET
        finding = CASE WHEN f.state = 'open' THEN coalesce(s.finding, f.finding) ELSE f.finding END,
        columns = CASE WHEN f.state = 'open' THEN coalesce(s.columns, f.columns) ELSE f.columns END,
        -- Found before and equal now: it was repaired before we were interrupted.
        state   = CASE WHEN f.state = 'found' AND s.state = 'none' THEN 'repaired' ELSE s.state END
    FROM jsonb_to_recordset(p_records) AS s (record_id text, state text, finding text, columns text[])
    -- A look-up that no plan can turn into reading the table. Nobody else writes there meanwhile.
    CROSS JOIN LATERAL (
        SELECT i.ctid
        FROM capydb_auth.reconcile_findings AS i
        WHERE i.provider = p_provider AND i.record_type = p_type AND i.record_id = s.record_id COLLATE "C"
        LIMIT 1
    ) AS l
    WHERE f.ctid = l.ctid
      AND f.state IN ('open', 'found');
END;
$fn$;

COMMENT ON FUNCTION capydb_auth.reconcile_settle(uuid, text, text, jsonb)
    IS 'Notes what was found out about single records in a reconcile, or what happened to them.';
