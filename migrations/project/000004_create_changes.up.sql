-- Events as the mirror takes them, and what each did: the ledger of processed events, and the change feed.
--
-- Why:   the ledger makes a repeated event harmless; the feed is what destinations receive.
-- Locks: nothing of note, the tables are new.

-- An event, as apply_events takes it. Of the columns of its record it sets those in fields, a sum as in
-- users.last_event_fields; a value that is not in fields is ignored.
CREATE TYPE capydb_auth.event AS (
    ordinal                  integer,
    record_type              text,
    record_id                text,
    organization_id          text,
    user_id                  text,
    provider                 text,
    event_id                 text COLLATE "C",
    id_is_digest             boolean,
    inbox_id                 bigint,
    inbox_ordinal            integer,
    received_at              timestamptz,
    in_ledger                boolean,
    at                       timestamptz,
    deleted_clock            timestamptz,
    sent_at                  timestamptz,
    arrived_at               timestamptz,
    at_is_receipt            boolean,
    deleted_clock_is_receipt boolean,
    last_sign_in_at_is_least boolean,
    role_added               text,
    role_removed             text,
    fields                   integer,
    email                    text,
    first_name               text,
    last_name                text,
    username                 text,
    image_url                text,
    created_at               timestamptz,
    updated_at               timestamptz,
    last_sign_in_at          timestamptz,
    deleted_at               timestamptz,
    raw                      jsonb,
    name                     text,
    slug                     text,
    id                       text,
    role                     text,
    roles                    text[],
    permissions              text[],
    status                   text,
    expires_at               timestamptz,
    last_active_at           timestamptz
);

COMMENT ON TYPE capydb_auth.event IS 'An event about a record, the argument of apply_events.';
COMMENT ON COLUMN capydb_auth.event.ordinal IS 'Names the event in the result.';
COMMENT ON COLUMN capydb_auth.event.record_type IS 'user, organization, membership, invitation or session.';
COMMENT ON COLUMN capydb_auth.event.record_id IS 'The provider''s id of the record; of a membership organization_id/user_id, with / in the former as %2F and % as %25.';
COMMENT ON COLUMN capydb_auth.event.organization_id IS 'Of a membership or an invitation, its organization.';
COMMENT ON COLUMN capydb_auth.event.user_id IS 'Of a membership or a session, its user.';
COMMENT ON COLUMN capydb_auth.event.event_id IS 'The same on every repetition.';
COMMENT ON COLUMN capydb_auth.event.id_is_digest IS 'The id is the digest of a body: it names the event for ten minutes only.';
COMMENT ON COLUMN capydb_auth.event.inbox_id IS 'The message that brought it (authsync.inbox.id in the control database).';
COMMENT ON COLUMN capydb_auth.event.inbox_ordinal IS 'Place of the event in that message, from 0.';
COMMENT ON COLUMN capydb_auth.event.in_ledger IS 'False for what authsync read from the provider itself: the ledger is neither read nor written, and ids may repeat.';
COMMENT ON COLUMN capydb_auth.event.at IS 'Clock of the fields; NULL for a deletion without a profile.';
COMMENT ON COLUMN capydb_auth.event.deleted_clock IS 'Clock of a deletion; NULL for everything else.';
COMMENT ON COLUMN capydb_auth.event.sent_at IS 'Breaks ties of the clocks.';
COMMENT ON COLUMN capydb_auth.event.arrived_at IS 'When it was received; NULL where its clocks are the sender''s and none is ahead of that.';
COMMENT ON COLUMN capydb_auth.event.at_is_receipt IS 'The sender gave no clock: at is the time of receipt.';
COMMENT ON COLUMN capydb_auth.event.deleted_clock_is_receipt IS 'Likewise deleted_clock.';
COMMENT ON COLUMN capydb_auth.event.last_sign_in_at_is_least IS 'The last sign-in may have been later: the column never goes back, whatever the clocks are.';
COMMENT ON COLUMN capydb_auth.event.role_added IS 'A role that the membership has got, where the provider reports roles one by one.';
COMMENT ON COLUMN capydb_auth.event.role_removed IS 'Likewise a role that it has lost.';
COMMENT ON COLUMN capydb_auth.event.deleted_at IS 'Of a session, when it ended.';
COMMENT ON COLUMN capydb_auth.event.id IS 'The provider''s id of a membership, which is not its key.';
COMMENT ON COLUMN capydb_auth.event.fields IS 'The columns that the event sets, as a sum; see users.last_event_fields.';

CREATE TABLE capydb_auth.processed_events (
    provider      text COLLATE "C" NOT NULL,
    event_id      text COLLATE "C" NOT NULL,
    record_type   text COLLATE "C" NOT NULL,
    record_id     text COLLATE "C" NOT NULL,
    received_at   timestamptz      NOT NULL,
    inbox_id      bigint           NOT NULL,
    -- squawk-ignore prefer-bigint-over-int
    inbox_ordinal integer          NOT NULL,
    outcome       text             NOT NULL,
    reason        text,
    processed_at  timestamptz      NOT NULL DEFAULT now(),
    CONSTRAINT processed_events_pkey PRIMARY KEY (provider, event_id, record_type, record_id, received_at),
    CONSTRAINT processed_events_outcome_check CHECK (outcome IN ('applied', 'stale'))
);

-- For retention. The entries of a call have the same time and come last: they take little room in it, and little work.
CREATE INDEX processed_events_processed_idx ON capydb_auth.processed_events (processed_at);

COMMENT ON TABLE capydb_auth.processed_events IS 'The ledger: an event is here exactly if its effect is in the mirror, which makes a repetition harmless; for as long as one can come, see docs/retention.md.';
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
    before_raw  jsonb,
    provider    text        NOT NULL,
    event_id    text        NOT NULL,
    event_at    timestamptz NOT NULL,
    changed_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT changes_pkey PRIMARY KEY (id),
    CONSTRAINT changes_kind_check CHECK (kind IN ('created', 'updated', 'deleted', 'restored', 'erased'))
)
-- A row holds the provider's object. Compressing all of them would cost more than it saves.
WITH (toast_tuple_target = 8160);

COMMENT ON TABLE capydb_auth.changes IS 'The change feed: one row for each event that changed a value, in commit order. user_changes shows it with before and after whole.';
COMMENT ON COLUMN capydb_auth.changes.id IS 'Grows in commit order: reading on from the last id seen misses nothing.';
COMMENT ON COLUMN capydb_auth.changes.record_type IS 'What changed: user, organization, membership, invitation or session.';
COMMENT ON COLUMN capydb_auth.changes.record_id IS 'The provider''s id of the record; of a membership, see event.record_id.';
COMMENT ON COLUMN capydb_auth.changes.changed IS 'The columns that changed.';
COMMENT ON COLUMN capydb_auth.changes.before IS 'The changed columns before the change, except raw; NULL where the record was new.';
COMMENT ON COLUMN capydb_auth.changes.after IS 'All mirrored columns after the change, except raw.';
COMMENT ON COLUMN capydb_auth.changes.before_raw IS 'The column raw before the change. raw after it is the before_raw of the record''s next change, or in the record''s own row; record_changes shows both.';
COMMENT ON COLUMN capydb_auth.changes.event_at IS 'The provider''s clock of the event.';

-- The record first: a search for (id, type, …) in it ends where the first column differs, and would go on through all records of
-- the type if that were first.
CREATE INDEX changes_record_idx ON capydb_auth.changes (record_id, record_type, id);
