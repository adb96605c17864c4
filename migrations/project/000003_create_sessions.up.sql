-- The mirror: sessions of users.
--
-- Why:   who is signed in, and since when. Off unless an integration asks for it (options.record_types): sessions are many.
-- Locks: nothing of note, the table is new.

CREATE TABLE capydb_auth.sessions (
    id                   text NOT NULL,
    user_id              text,
    status               text,
    created_at           timestamptz,
    last_active_at       timestamptz,
    expires_at           timestamptz,
    ended_at             timestamptz,
    raw                  jsonb,
    provider             text,
    last_event_processed timestamptz,
    last_event_id        text COLLATE "C",
    last_event_sent_at   timestamptz,
    -- squawk-ignore prefer-bigint-over-int
    last_event_fields    integer NOT NULL DEFAULT 0,
    field_versions       jsonb,
    CONSTRAINT sessions_pkey PRIMARY KEY (id)
)
WITH (fillfactor = 70);

COMMENT ON TABLE capydb_auth.sessions IS 'Sessions of users, without anything that one could sign in with. Maintained by authsync: read it, do not write to it.';
COMMENT ON COLUMN capydb_auth.sessions.id IS 'The provider''s id of the session.';
COMMENT ON COLUMN capydb_auth.sessions.user_id IS 'users.id.';
COMMENT ON COLUMN capydb_auth.sessions.status IS 'As the provider spells it: active, ended, revoked ….';
COMMENT ON COLUMN capydb_auth.sessions.created_at IS 'When the user signed in.';
COMMENT ON COLUMN capydb_auth.sessions.last_active_at IS 'When the session was last used, as far as the provider has reported it.';
COMMENT ON COLUMN capydb_auth.sessions.expires_at IS 'Until when the session is valid.';
COMMENT ON COLUMN capydb_auth.sessions.ended_at IS 'When the session ended, was removed or revoked; NULL: no such event has come.';
COMMENT ON COLUMN capydb_auth.sessions.raw IS 'The provider''s session object, without tokens.';
COMMENT ON COLUMN capydb_auth.sessions.provider IS 'The provider of the newest event about the session.';
COMMENT ON COLUMN capydb_auth.sessions.last_event_processed IS 'Provider clock of the newest event about the session.';
COMMENT ON COLUMN capydb_auth.sessions.last_event_id IS 'The event that set the columns in last_event_fields.';
COMMENT ON COLUMN capydb_auth.sessions.last_event_sent_at IS 'When that event was sent: the second part of its version.';
COMMENT ON COLUMN capydb_auth.sessions.last_event_fields IS 'The columns whose version is (last_event_processed, last_event_sent_at, last_event_id), as a sum; see users.last_event_fields.';
COMMENT ON COLUMN capydb_auth.sessions.field_versions IS 'What last_event_fields cannot say; see session_sources and merge_record.';

-- With the id, a page of a user's sessions is read from the index alone.
CREATE INDEX sessions_user_idx ON capydb_auth.sessions (user_id, id);
