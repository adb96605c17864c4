-- What each event did: the ledger of processed events, and the change feed.
--
-- Why:   the ledger makes a repeated event harmless; the feed is what destinations receive.
-- Locks: nothing of note, the tables are new.

CREATE TABLE capydb_auth.processed_events (
    provider      text COLLATE "C" NOT NULL,
    event_id      text COLLATE "C" NOT NULL,
    user_id       text COLLATE "C" NOT NULL,
    received_at   timestamptz      NOT NULL,
    inbox_id      bigint           NOT NULL,
    -- squawk-ignore prefer-bigint-over-int
    inbox_ordinal integer          NOT NULL,
    outcome       text             NOT NULL,
    reason        text,
    processed_at  timestamptz      NOT NULL DEFAULT now(),
    CONSTRAINT processed_events_pkey PRIMARY KEY (provider, event_id, user_id, received_at),
    CONSTRAINT processed_events_outcome_check CHECK (outcome IN ('applied', 'stale'))
);

COMMENT ON TABLE capydb_auth.processed_events IS 'The ledger: an event is here exactly if its effect is in users, which makes a repetition harmless.';
COMMENT ON COLUMN capydb_auth.processed_events.received_at IS 'When the message processed first was received.';
COMMENT ON COLUMN capydb_auth.processed_events.inbox_id IS 'The message processed first (authsync.inbox.id in the control database).';
COMMENT ON COLUMN capydb_auth.processed_events.inbox_ordinal IS 'Place of the event in that message, from 0.';
COMMENT ON COLUMN capydb_auth.processed_events.outcome IS 'applied: it set at least one value; stale: newer events had already set all its values.';

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
-- A row holds two user objects. Compressing all of them would cost more than it saves.
WITH (toast_tuple_target = 8160);

COMMENT ON TABLE capydb_auth.user_changes IS 'The change feed: one row for each event that changed a value, in commit order. Applying every after in order gives users.';
COMMENT ON COLUMN capydb_auth.user_changes.id IS 'Grows in commit order: reading on from the last id seen misses nothing.';
COMMENT ON COLUMN capydb_auth.user_changes.changed IS 'The columns of users that changed.';
COMMENT ON COLUMN capydb_auth.user_changes.before IS 'The changed columns before the change; NULL where the user was new.';
COMMENT ON COLUMN capydb_auth.user_changes.after IS 'The changed columns after the change.';
COMMENT ON COLUMN capydb_auth.user_changes.event_at IS 'The provider''s clock of the event.';

CREATE INDEX user_changes_user_id_idx ON capydb_auth.user_changes (user_id, id);
