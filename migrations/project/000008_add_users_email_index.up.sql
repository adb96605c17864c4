-- Finds users by their address of e-mail.
--
-- Why:   the API and the command find a user by e-mail, as do most applications that read the mirror.
-- Locks: writing to users waits while the table is read once, some seconds for a
--        million users; reading goes on. Only authsync writes there, and tries again.
--        (CONCURRENTLY would leave an upgrade that was cut short for a person to mend.)

-- squawk-ignore require-concurrent-index-creation
CREATE INDEX users_email_idx ON capydb_auth.users (lower(email));
