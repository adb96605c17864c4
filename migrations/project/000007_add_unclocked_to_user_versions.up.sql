-- Keeps apart what was said without a clock.
--
-- Why:   a deletion that carries no time is newer than everything received before it,
--        also than a change whose clock is a little ahead. See capydb_auth.merge_unclocked.
-- Locks: user_versions, exclusively, for a moment: no row is read or written.

ALTER TYPE capydb_auth.version ADD ATTRIBUTE received_at timestamptz;

COMMENT ON COLUMN capydb_auth.version.received_at
    IS 'When the event was received, if its clock was ahead of that; else NULL.';

ALTER TABLE capydb_auth.user_versions ADD COLUMN unclocked jsonb;

COMMENT ON COLUMN capydb_auth.user_versions.unclocked
    IS 'Column of users -> value, received_at and event_id of what was last said of it without a clock; NULL if nothing was.';
