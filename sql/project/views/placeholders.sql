-- placeholders shows the rows of users that ensure_user made and of which no event
-- has told yet. One that stays is a user whose events do not arrive, or an id that
-- the provider does not know: reconcile finds out which.
CREATE OR REPLACE VIEW capydb_auth.placeholders AS
SELECT
    u.id AS user_id,
    u.placeholder_since AS since,
    clock_timestamp() - u.placeholder_since AS age
FROM capydb_auth.users AS u
WHERE u.last_event_processed IS NULL;

COMMENT ON VIEW capydb_auth.placeholders
    IS 'Users that were referenced through ensure_user and of which no event has told yet.';
