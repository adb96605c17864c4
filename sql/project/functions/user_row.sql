-- user_row writes a row of users as the object that destinations see: the columns
-- that come from the provider, and no others.
--
-- Repeatable: it changes nothing.
-- Order:      of no matter.
-- Result:     an object with one key a column, id to raw; NULL for no row. Times are
--             written in the session's time zone, so callers set UTC, as the feed does.
CREATE OR REPLACE FUNCTION capydb_auth.user_row(
    p_user capydb_auth.users
)
RETURNS jsonb
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $fn$
    SELECT CASE WHEN p_user.id IS NOT NULL THEN
        jsonb_build_object(
            'id', p_user.id, 'email', p_user.email, 'first_name', p_user.first_name, 'last_name', p_user.last_name,
            'username', p_user.username, 'image_url', p_user.image_url,
            'created_at', p_user.created_at, 'updated_at', p_user.updated_at,
            'last_sign_in_at', p_user.last_sign_in_at, 'deleted_at', p_user.deleted_at,
            'raw', p_user.raw
        )
    END;
$fn$;

COMMENT ON FUNCTION capydb_auth.user_row(capydb_auth.users)
    IS 'A row of users as the object that destinations see.';
