-- Removes the placeholders, which fails if a foreign key references one: resolve those first.
DELETE FROM capydb_auth.users WHERE last_event_processed IS NULL;

ALTER TABLE capydb_auth.users
    DROP COLUMN placeholder_since,
    ALTER COLUMN provider SET NOT NULL,
    ALTER COLUMN last_event_processed SET NOT NULL;

COMMENT ON COLUMN capydb_auth.users.provider IS 'The provider of the newest event about the user.';
COMMENT ON COLUMN capydb_auth.users.last_event_processed IS 'Provider clock of the newest event about the user.';
