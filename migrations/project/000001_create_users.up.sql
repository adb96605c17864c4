-- The mirror: users as the identity provider knows them, and which event set each value.
--
-- Why:   the customer reads users; the versions let events be applied in any order, any number of times.
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
    CONSTRAINT users_pkey PRIMARY KEY (id)
);

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

-- The API and the command find users by e-mail, and so do most applications that read the mirror.
CREATE INDEX users_email_idx ON capydb_auth.users (lower(email));

-- View placeholders is read often and finds few rows or none.
CREATE INDEX users_placeholders_idx ON capydb_auth.users (placeholder_since) WHERE last_event_processed IS NULL;

-- A table of its own, so that the customer's table stays narrow. One column per
-- mirrored column, of the same name.
CREATE TABLE capydb_auth.user_versions (
    user_id         text NOT NULL,
    email           capydb_auth.version,
    first_name      capydb_auth.version,
    last_name       capydb_auth.version,
    username        capydb_auth.version,
    image_url       capydb_auth.version,
    created_at      capydb_auth.version,
    updated_at      capydb_auth.version,
    last_sign_in_at capydb_auth.version,
    deleted_at      capydb_auth.version,
    raw             capydb_auth.version,
    unclocked       jsonb,
    CONSTRAINT user_versions_pkey PRIMARY KEY (user_id)
);

COMMENT ON TABLE capydb_auth.user_versions IS 'For each column of users: which event set its value, and when; NULL where no event set it.';
COMMENT ON COLUMN capydb_auth.user_versions.unclocked IS 'Column of users -> value, received_at and event_id last set by an event without a clock; NULL: none. Kept apart because a deletion without a time is newer than everything received before it. See merge_unclocked.';
