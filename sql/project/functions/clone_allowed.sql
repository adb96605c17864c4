-- clone_allowed leaves out rows about users who were erased. It is a part of how rows and changes are written to a clone.
--
-- Repeatable: it changes nothing.
-- Order:      under lock_mirror: whoever erases a user takes it, too, so that nothing slips through.
-- Result:     the other rows, in their sequence; US005 if users were erased and the key is NULL.
CREATE OR REPLACE FUNCTION capydb_auth.clone_allowed(
    p_record_type text,
    p_rows        jsonb[],
    p_erasure_key bytea
)
RETURNS jsonb[]
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $fn$
DECLARE
    v_types  text[];
    v_ids    text[];
    v_users  text[];
    v_erased bigint[];
BEGIN
    IF p_record_type = 'erasure' OR NOT EXISTS (SELECT FROM capydb_auth.erasures) THEN
        RETURN p_rows;
    END IF;
    IF p_erasure_key IS NULL THEN
        RAISE EXCEPTION 'users of this mirror were erased, and the caller has not learned of it yet'
            USING ERRCODE = 'US005', HINT = 'Try again in a moment.';
    END IF;
    SELECT array_agg(t.type ORDER BY t.place), array_agg(t.id ORDER BY t.place), array_agg(t.user_id ORDER BY t.place)
    INTO v_types, v_ids, v_users
    FROM (
        SELECT
            r.place,
            coalesce(nullif(p_record_type, ''), r.doc ->> 'record_type') AS type,
            CASE p_record_type
                WHEN '' THEN r.doc ->> 'record_id'
                WHEN 'membership' THEN capydb_auth.membership_id(r.doc ->> 'organization_id', r.doc ->> 'user_id')
                ELSE r.doc ->> 'id'
            END AS id,
            coalesce(
                r.doc ->> 'user_id', r.doc -> 'after' ->> 'user_id', r.doc ->> 'after_user_id',
                CASE WHEN p_record_type = '' AND r.doc ->> 'record_type' = 'membership'
                    THEN substr(r.doc ->> 'record_id', strpos(r.doc ->> 'record_id', '/') + 1) END
            ) AS user_id
        FROM unnest(p_rows) WITH ORDINALITY AS r (doc, place)
    ) AS t;
    v_erased := ARRAY(SELECT f.place FROM capydb_auth.find_erased(p_erasure_key, v_types, v_ids, v_users) AS f (place));
    RETURN ARRAY(
        SELECT r.doc FROM unnest(p_rows) WITH ORDINALITY AS r (doc, place)
        WHERE r.place <> ALL (v_erased) ORDER BY r.place
    );
END;
$fn$;

COMMENT ON FUNCTION capydb_auth.clone_allowed(text, jsonb[], bytea)
    IS 'Leaves out rows about users who were erased; called where rows are written to a clone only.';
