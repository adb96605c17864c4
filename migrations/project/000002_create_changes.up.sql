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

CREATE TABLE capydb_auth.changes (
    id          bigint      GENERATED ALWAYS AS IDENTITY,
    record_type text        NOT NULL,
    record_id   text        NOT NULL,
    kind        text        NOT NULL,
    changed     text[]      NOT NULL,
    before      jsonb,
    after       jsonb       NOT NULL,
    raw         jsonb,
    provider    text        NOT NULL,
    event_id    text        NOT NULL,
    event_at    timestamptz NOT NULL,
    changed_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT changes_pkey PRIMARY KEY (id),
    CONSTRAINT changes_kind_check CHECK (kind IN ('created', 'updated', 'deleted', 'restored'))
)
-- A row holds the provider's object. Compressing all of them would cost more than it saves.
WITH (toast_tuple_target = 8160);

COMMENT ON TABLE capydb_auth.changes IS 'The change feed: one row for each event that changed a value, in commit order. user_changes shows it with before and after whole.';
COMMENT ON COLUMN capydb_auth.changes.id IS 'Grows in commit order: reading on from the last id seen misses nothing.';
COMMENT ON COLUMN capydb_auth.changes.record_type IS 'What changed: user.';
COMMENT ON COLUMN capydb_auth.changes.record_id IS 'The provider''s id of the record.';
COMMENT ON COLUMN capydb_auth.changes.changed IS 'The columns that changed.';
COMMENT ON COLUMN capydb_auth.changes.before IS 'The changed columns before the change, except raw, which the previous change of the record has; NULL where the record was new.';
COMMENT ON COLUMN capydb_auth.changes.after IS 'All mirrored columns after the change, except raw.';
COMMENT ON COLUMN capydb_auth.changes.raw IS 'The column raw after the change.';
COMMENT ON COLUMN capydb_auth.changes.event_at IS 'The provider''s clock of the event.';

CREATE INDEX changes_record_idx ON capydb_auth.changes (record_type, record_id, id);
