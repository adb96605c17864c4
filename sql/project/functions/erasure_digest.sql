-- erasure_digest is how an erased record is remembered. The key keeps whoever reads the table from trying ids: many are
-- numbers, or known to others.
--
-- Repeatable: the same arguments give the same digest.
-- Order:      of no matter.
-- Result:     SHA-256 of key, record type, a colon and the id, in hexadecimal; NULL for a NULL. The key is 32 bytes long, so that no two
--             inputs run into one another.
CREATE OR REPLACE FUNCTION capydb_auth.erasure_digest(
    p_key         bytea,
    p_record_type text,
    p_record_id   text
)
RETURNS text
LANGUAGE sql
IMMUTABLE
STRICT
SET search_path = pg_catalog, pg_temp
AS $fn$
    SELECT encode(sha256(p_key || convert_to(p_record_type || ':' || p_record_id, 'UTF8')), 'hex');
$fn$;

COMMENT ON FUNCTION capydb_auth.erasure_digest(bytea, text, text)
    IS 'The digest by which an erased record is remembered.';
