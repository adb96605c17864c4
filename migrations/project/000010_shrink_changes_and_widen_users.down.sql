-- Gives changes back the form that they had, and removes the columns of the new one; users get the room that they had.
UPDATE capydb_auth.changes AS c SET
    changed = ARRAY(
        SELECT CASE WHEN n.name = 'deleted_at' AND c.record_type = 'session' THEN 'ended_at' ELSE n.name END
        FROM unnest(
            '{email,first_name,last_name,username,image_url,created_at,updated_at,last_sign_in_at,deleted_at,raw}'::text[]
            || '{name,slug,id,role,roles,permissions,organization_id,user_id,status,expires_at,last_active_at}'::text[]
        ) WITH ORDINALITY AS n (name, place)
        WHERE c.changed_fields & (1 << (n.place - 1)::integer) <> 0
        ORDER BY n.place
    ),
    after = jsonb_strip_nulls(jsonb_build_object(
        'id', CASE WHEN c.record_type = 'membership' THEN c.after_id ELSE c.record_id END,
        'email', c.after_email, 'first_name', c.after_first_name, 'last_name', c.after_last_name, 'username', c.after_username,
        'image_url', c.after_image_url, 'created_at', c.after_created_at, 'updated_at', c.after_updated_at,
        'last_sign_in_at', c.after_last_sign_in_at, 'name', c.after_name, 'slug', c.after_slug, 'role', c.after_role,
        'roles', c.after_roles, 'permissions', c.after_permissions, 'organization_id', c.after_organization_id, 'user_id', c.after_user_id,
        'status', c.after_status, 'expires_at', c.after_expires_at, 'last_active_at', c.after_last_active_at,
        CASE WHEN c.record_type = 'session' THEN 'ended_at' ELSE 'deleted_at' END, c.after_deleted_at
    ))
WHERE c.changed_fields IS NOT NULL;

ALTER TABLE capydb_auth.changes
    ALTER COLUMN changed SET NOT NULL,
    ALTER COLUMN after SET NOT NULL,
    DROP COLUMN changed_fields,
    DROP COLUMN after_email,
    DROP COLUMN after_first_name,
    DROP COLUMN after_last_name,
    DROP COLUMN after_username,
    DROP COLUMN after_image_url,
    DROP COLUMN after_created_at,
    DROP COLUMN after_updated_at,
    DROP COLUMN after_last_sign_in_at,
    DROP COLUMN after_deleted_at,
    DROP COLUMN after_name,
    DROP COLUMN after_slug,
    DROP COLUMN after_id,
    DROP COLUMN after_role,
    DROP COLUMN after_roles,
    DROP COLUMN after_permissions,
    DROP COLUMN after_organization_id,
    DROP COLUMN after_user_id,
    DROP COLUMN after_status,
    DROP COLUMN after_expires_at,
    DROP COLUMN after_last_active_at;

ALTER TABLE capydb_auth.users SET (fillfactor = 70);

COMMENT ON COLUMN capydb_auth.changes.changed IS 'The columns that changed.';
COMMENT ON COLUMN capydb_auth.changes.after IS 'All mirrored columns after the change, except raw.';
