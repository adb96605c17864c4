-- A change holds what it changed as a sum, and the row as it left it in columns of its own; pages of users keep more room.
--
-- Why:   names of columns, as texts and as keys of JSON, and times as texts were two thirds of a change that holds no raw.
--        Changes that are in the feed keep what they have: readers see both alike, by the views and functions.
--        Four users of 1.4 kB left room for one update in their page: half of a batch that updated all four wrote every
--        index. A page that is half full has room for all of its users, however long they are. The table is up to two
--        fifths longer for it; pages that are there keep what they hold.
-- Locks: changes and users for a moment; no row is written.

ALTER TABLE capydb_auth.changes
    -- squawk-ignore prefer-bigint-over-int
    ADD COLUMN changed_fields integer,
    ADD COLUMN after_email text,
    ADD COLUMN after_first_name text,
    ADD COLUMN after_last_name text,
    ADD COLUMN after_username text,
    ADD COLUMN after_image_url text,
    ADD COLUMN after_created_at timestamptz,
    ADD COLUMN after_updated_at timestamptz,
    ADD COLUMN after_last_sign_in_at timestamptz,
    ADD COLUMN after_deleted_at timestamptz,
    ADD COLUMN after_name text,
    ADD COLUMN after_slug text,
    ADD COLUMN after_id text,
    ADD COLUMN after_role text,
    ADD COLUMN after_roles text[],
    ADD COLUMN after_permissions text[],
    ADD COLUMN after_organization_id text,
    ADD COLUMN after_user_id text,
    ADD COLUMN after_status text,
    ADD COLUMN after_expires_at timestamptz,
    ADD COLUMN after_last_active_at timestamptz,
    -- Whoever reads them reads the view, in which they are never NULL.
    -- squawk-ignore ban-drop-not-null
    ALTER COLUMN changed DROP NOT NULL,
    -- squawk-ignore ban-drop-not-null
    ALTER COLUMN after DROP NOT NULL;

ALTER TABLE capydb_auth.users SET (fillfactor = 50);

COMMENT ON COLUMN capydb_auth.changes.changed IS 'The columns that changed, where changed_fields is NULL.';
COMMENT ON COLUMN capydb_auth.changes.changed_fields IS 'The columns that changed, as a sum; see users.last_event_fields. record_changes shows their names.';
COMMENT ON COLUMN capydb_auth.changes.after IS 'All mirrored columns after the change, except raw, where changed_fields is NULL. Otherwise they are in the columns after_*, and record_changes shows them as JSON.';
COMMENT ON COLUMN capydb_auth.changes.after_id IS 'Of a membership, the provider''s id of it; the id of any other record is record_id.';
COMMENT ON COLUMN capydb_auth.changes.after_deleted_at IS 'Of a session, ended_at.';
