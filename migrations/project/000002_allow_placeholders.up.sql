-- Lets users hold placeholders: rows of users whose first event has not come yet.
--
-- Why:   a foreign key to users shall not wait for a webhook. Of a placeholder
--        nothing is known but its id, neither provider nor clock.
-- Locks: users, exclusively, for a few milliseconds: no row is read or written.

-- A NULL comes with the first call of ensure_user, which this release brings.
ALTER TABLE capydb_auth.users
    -- squawk-ignore ban-drop-not-null
    ALTER COLUMN provider DROP NOT NULL,
    -- squawk-ignore ban-drop-not-null
    ALTER COLUMN last_event_processed DROP NOT NULL,
    ADD COLUMN placeholder_since timestamptz;

COMMENT ON COLUMN capydb_auth.users.provider
    IS 'The provider of the newest event about the user; NULL for a placeholder.';
COMMENT ON COLUMN capydb_auth.users.last_event_processed
    IS 'Provider clock of the newest event about the user; NULL for a placeholder, of which no event has told yet.';
COMMENT ON COLUMN capydb_auth.users.placeholder_since
    IS 'When ensure_user made the row as a placeholder; NULL once an event has told of the user.';
