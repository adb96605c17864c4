-- Takes back users_email_idx.
--
-- Locks: users, exclusively, for a moment.

-- squawk-ignore require-concurrent-index-deletion
DROP INDEX capydb_auth.users_email_idx;
