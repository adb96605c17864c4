-- The mirror: users as the identity provider knows them, who said what about
-- them, the ledger of processed events, and the change feed.
--
-- Why:   the first tables of a project database.
-- Locks: none that matter, the tables are new.

-- When, by the provider's clock, and by which event a value was said. Compared
-- as a whole, left to right: the newer clock wins; of equal clocks the event
-- sent later; of those the greater event id. So a tie has one fixed winner.
CREATE TYPE capydb_auth.version AS (
    at       timestamptz,
    sent_at  timestamptz,
    event_id text COLLATE "C"
);

COMMENT ON TYPE capydb_auth.version
    IS 'When (provider clock, then time sent) and by which event a value was said; the greater one wins.';

CREATE TABLE capydb_auth.users (
    id                   text        NOT NULL,
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
    provider             text        NOT NULL,
    last_event_processed timestamptz NOT NULL,
    CONSTRAINT users_pkey PRIMARY KEY (id)
);

COMMENT ON TABLE capydb_auth.users
    IS 'The users of the identity provider. Kept by authsync: read it, join it, reference it, do not write to it.';
COMMENT ON COLUMN capydb_auth.users.id IS 'The provider''s id of the user.';
COMMENT ON COLUMN capydb_auth.users.email IS 'Primary e-mail address as the provider gives it; not unique.';
COMMENT ON COLUMN capydb_auth.users.first_name IS 'Given name.';
COMMENT ON COLUMN capydb_auth.users.last_name IS 'Family name.';
COMMENT ON COLUMN capydb_auth.users.username IS 'User name or nickname.';
COMMENT ON COLUMN capydb_auth.users.image_url IS 'URL of the profile picture.';
COMMENT ON COLUMN capydb_auth.users.created_at IS 'When the user was created at the provider.';
COMMENT ON COLUMN capydb_auth.users.updated_at IS 'When the user was last changed at the provider.';
COMMENT ON COLUMN capydb_auth.users.last_sign_in_at IS 'Last sign-in, where the provider tells it.';
COMMENT ON COLUMN capydb_auth.users.deleted_at IS 'When the user was deleted at the provider; NULL while the user exists.';
COMMENT ON COLUMN capydb_auth.users.raw IS 'The provider''s user object.';
COMMENT ON COLUMN capydb_auth.users.provider IS 'The provider of the newest event about the user.';
COMMENT ON COLUMN capydb_auth.users.last_event_processed IS 'Provider clock of the newest event about the user.';

-- A table of its own, so that the customer's table stays narrow. One column a
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
    CONSTRAINT user_versions_pkey PRIMARY KEY (user_id)
);

COMMENT ON TABLE capydb_auth.user_versions
    IS 'For each column of users: which event said its value, and when; NULL where no event spoke of it.';

CREATE TABLE capydb_auth.processed_events (
    provider      text        COLLATE "C" NOT NULL,
    event_id      text        COLLATE "C" NOT NULL,
    user_id       text        COLLATE "C" NOT NULL,
    received_at   timestamptz NOT NULL,
    inbox_id      bigint      NOT NULL,
    -- squawk-ignore prefer-bigint-over-int
    inbox_ordinal integer     NOT NULL,
    outcome       text        NOT NULL,
    reason        text,
    processed_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT processed_events_pkey PRIMARY KEY (provider, event_id, user_id, received_at),
    CONSTRAINT processed_events_outcome_check CHECK (outcome IN ('applied', 'stale'))
);

COMMENT ON TABLE capydb_auth.processed_events
    IS 'The ledger: an event is here exactly if its effect is in users. It is what makes a repetition harmless.';
COMMENT ON COLUMN capydb_auth.processed_events.received_at IS 'When the delivery arrived that was processed first.';
COMMENT ON COLUMN capydb_auth.processed_events.inbox_id IS 'The delivery that was processed first (authsync.inbox.id in the control database).';
COMMENT ON COLUMN capydb_auth.processed_events.inbox_ordinal IS 'Place of the event in that delivery, from 0.';
COMMENT ON COLUMN capydb_auth.processed_events.outcome IS 'applied: it set at least one value; stale: newer events had already said all it says.';

CREATE TABLE capydb_auth.user_changes (
    id         bigint      GENERATED ALWAYS AS IDENTITY,
    user_id    text        NOT NULL,
    kind       text        NOT NULL,
    changed    text[]      NOT NULL,
    before     jsonb,
    after      jsonb       NOT NULL,
    provider   text        NOT NULL,
    event_id   text        NOT NULL,
    event_at   timestamptz NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT user_changes_pkey PRIMARY KEY (id),
    CONSTRAINT user_changes_kind_check CHECK (kind IN ('created', 'updated', 'deleted', 'restored'))
)
-- A row holds two user objects. Compressing every one of them would cost more than it saves.
WITH (toast_tuple_target = 8160);

COMMENT ON TABLE capydb_auth.user_changes
    IS 'The change feed: one row for each event that changed a value, in the order of commit. Applying every after in order gives users.';
COMMENT ON COLUMN capydb_auth.user_changes.id IS 'Grows in the order of commit: reading on from the last id seen misses nothing.';
COMMENT ON COLUMN capydb_auth.user_changes.changed IS 'The columns of users that got another value.';
COMMENT ON COLUMN capydb_auth.user_changes.before IS 'The changed columns as they were; NULL where the user was new.';
COMMENT ON COLUMN capydb_auth.user_changes.after IS 'The changed columns as they are.';
COMMENT ON COLUMN capydb_auth.user_changes.event_at IS 'The provider''s clock of the event.';

CREATE INDEX user_changes_user_id_idx ON capydb_auth.user_changes (user_id, id);
