-- Finds the placeholders without reading all users.
--
-- Why:   view placeholders is looked at often and finds few rows or none.
-- Locks: writing to users waits while the table is read once, about a second for a
--        million users; reading goes on. Only authsync writes there, and tries again.
--        (CONCURRENTLY would leave an upgrade that was cut short for a person to mend.)

-- squawk-ignore require-concurrent-index-creation
CREATE INDEX users_placeholders_idx ON capydb_auth.users (placeholder_since) WHERE last_event_processed IS NULL;
