-- The mirror: users as the identity provider knows them, and which event set each value.
--
-- Why:   the customer reads users; the versions in its last columns let events be applied in any order, any number of times.
-- Locks: nothing of note, the tables are new.

-- When, by the provider's clock, and by which event a value was set. Compared
-- as a whole, left to right: the newer clock wins; of equal clocks the event
-- sent later; of those the greater event id. So every tie has one fixed winner.
CREATE TYPE capydb_auth.version AS (
    at          timestamptz,
    sent_at     timestamptz,
    event_id    text COLLATE "C",
    received_at timestamptz
);

COMMENT ON TYPE capydb_auth.version IS 'When (provider clock, then time sent) and by which event a value was set; the greater one wins.';
COMMENT ON COLUMN capydb_auth.version.received_at IS 'When the event was received, if its clock was ahead of that; otherwise NULL.';

CREATE TABLE capydb_auth.users (
    id                   text NOT NULL,
    email                text,
    first_name           text,
    last_name            text,
    username             text,
    image_url            text,
    created_at           timestamptz,
    updated_at           timestamptz,
    last_sign_in_at      timestamptz,
    deleted_at           timestamptz,
    raw                  jsonb,
    provider             text,
    last_event_processed timestamptz,
    placeholder_since    timestamptz,
    last_event_id        text COLLATE "C",
    last_event_sent_at   timestamptz,
    -- squawk-ignore prefer-bigint-over-int
    last_event_fields    integer NOT NULL DEFAULT 0,
    field_versions       jsonb,
    CONSTRAINT users_pkey PRIMARY KEY (id)
)
-- An update finds room in the page of the row it replaces, so no index has to be written (HOT).
WITH (fillfactor = 70);

COMMENT ON TABLE capydb_auth.users IS 'The users of the identity provider. Maintained by authsync: read it, join it, reference it, do not write to it.';
COMMENT ON COLUMN capydb_auth.users.id IS 'The provider''s id of the user.';
COMMENT ON COLUMN capydb_auth.users.email IS 'Primary e-mail address, spelled as at the provider; not unique.';
COMMENT ON COLUMN capydb_auth.users.first_name IS 'Given name.';
COMMENT ON COLUMN capydb_auth.users.last_name IS 'Family name.';
COMMENT ON COLUMN capydb_auth.users.username IS 'User name or nickname.';
COMMENT ON COLUMN capydb_auth.users.image_url IS 'URL of the profile picture.';
COMMENT ON COLUMN capydb_auth.users.created_at IS 'When the user was created at the provider.';
COMMENT ON COLUMN capydb_auth.users.updated_at IS 'When the user was last changed at the provider.';
COMMENT ON COLUMN capydb_auth.users.last_sign_in_at IS 'Last sign-in, where the provider reports it.';
COMMENT ON COLUMN capydb_auth.users.deleted_at IS 'When the user was deleted at the provider; NULL while the user exists.';
COMMENT ON COLUMN capydb_auth.users.raw IS 'The provider''s user object.';
COMMENT ON COLUMN capydb_auth.users.provider IS 'The provider of the newest event about the user; NULL for a placeholder.';
COMMENT ON COLUMN capydb_auth.users.last_event_processed IS 'Provider clock of the newest event about the user; NULL for a placeholder.';
COMMENT ON COLUMN capydb_auth.users.placeholder_since IS 'When ensure_user created the row, so that a foreign key need not wait for a webhook; NULL once an event about the user was applied.';
COMMENT ON COLUMN capydb_auth.users.last_event_id IS 'The event that set the columns in last_event_fields.';
COMMENT ON COLUMN capydb_auth.users.last_event_sent_at IS 'When that event was sent: the second part of its version.';
COMMENT ON COLUMN capydb_auth.users.last_event_fields IS 'The columns whose version is (last_event_processed, last_event_sent_at, last_event_id), as a sum: email 1, first_name 2, last_name 4, username 8, image_url 16, created_at 32, updated_at 64, last_sign_in_at 128, deleted_at 256, raw 512. The other tables go on with: name 1024, slug 2048, id 4096, role 8192, roles 16384, permissions 32768, organization_id 65536, user_id 131072, status 262144, expires_at 524288, last_active_at 1048576.';
COMMENT ON COLUMN capydb_auth.users.field_versions IS 'What last_event_fields cannot say: versions of columns that another event set, and what events without a clock set. NULL for most users; see user_sources and merge_record.';

-- The API and the command find users by e-mail, and so do most applications that read the mirror. With the id, a page of
-- those with one address is read from the index alone, whatever the planner believes of the table.
CREATE INDEX users_email_idx ON capydb_auth.users (lower(email), id);

-- The dashboard and the command find users by how their name begins. Bytes are the only order in which that is a range, and
-- of a longer name the rest is cut off: it would not fit into an index, and its event would fail. A new user with a
-- name costs two entries, an update that leaves the names alone none.
CREATE INDEX users_name_idx ON capydb_auth.users (
    (lower("left"(coalesce(first_name || ' ' || last_name, first_name, last_name, username), 64)) COLLATE "C"), id
) WHERE coalesce(first_name, last_name, username) IS NOT NULL;
CREATE INDEX users_last_name_idx ON capydb_auth.users ((lower("left"(last_name, 64)) COLLATE "C"), id)
WHERE first_name IS NOT NULL AND last_name IS NOT NULL;

-- View placeholders is read often and finds few rows or none. The predicate names no column that
-- every event changes: those updates would have to write the index otherwise.
CREATE INDEX users_placeholders_idx ON capydb_auth.users (placeholder_since) WHERE placeholder_since IS NOT NULL;
