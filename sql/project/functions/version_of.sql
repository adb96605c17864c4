-- version_of gives the version of a column of a record: when, and by which event with a clock, it was set.
--
-- Repeatable: it changes nothing.
-- Order:      of no matter.
-- Result:     NULL where no event with a clock set the column. p_bit is that of the column in
--             users.last_event_fields; the others are columns of the record by these names.
CREATE OR REPLACE FUNCTION capydb_auth.version_of(
    p_last_event_processed timestamptz,
    p_last_event_sent_at   timestamptz,
    p_last_event_id        text,
    p_last_event_fields    integer,
    p_field_versions       jsonb,
    p_column               text,
    p_bit                  integer
)
RETURNS capydb_auth.version
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $fn$
    SELECT CASE
        WHEN p_last_event_fields & p_bit <> 0
            THEN ROW(p_last_event_processed, p_last_event_sent_at, p_last_event_id, NULL)::capydb_auth.version
        ELSE jsonb_populate_record(NULL::capydb_auth.version, p_field_versions -> 'versions' -> p_column)
    END;
$fn$;

COMMENT ON FUNCTION capydb_auth.version_of(timestamptz, timestamptz, text, integer, jsonb, text, integer)
    IS 'When, and by which event with a clock, a column of a record was set.';
