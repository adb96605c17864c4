-- find_erased tells which of some records were erased, or belong to a user who was.
--
-- Repeatable: it changes nothing.
-- Order:      of no matter.
-- Result:     the places, from 1, of those records in the arrays. A record is erased by itself, or through its user.
CREATE OR REPLACE FUNCTION capydb_auth.find_erased(
    p_key          bytea,
    p_record_types text[],
    p_record_ids   text[],
    p_user_ids     text[]
)
RETURNS SETOF bigint
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $fn$
BEGIN
    RETURN QUERY
    SELECT r.place
    FROM unnest(p_record_types, p_record_ids, p_user_ids) WITH ORDINALITY AS r (record_type, record_id, user_id, place)
    WHERE EXISTS (
        SELECT FROM capydb_auth.erasures AS e
        WHERE e.digest IN (
            capydb_auth.erasure_digest(p_key, r.record_type, r.record_id), capydb_auth.erasure_digest(p_key, 'user', r.user_id)
        )
    )
    ORDER BY r.place;
END;
$fn$;

COMMENT ON FUNCTION capydb_auth.find_erased(bytea, text[], text[], text[])
    IS 'Tells which of some records were erased, or belong to a user who was.';
