-- placeholders shows the rows of users that ensure_user made and that no event
-- has filled yet. One that stays is a user whose events do not arrive, or an id that
-- the provider does not know: reconcile finds out which. It is read with the rights of
-- whoever reads it, so that row-level security of users holds here too.
CREATE OR REPLACE VIEW capydb_auth.placeholders
WITH (security_invoker = true)
AS
SELECT
    u.id AS user_id,
    u.placeholder_since AS since,
    clock_timestamp() - u.placeholder_since AS age
FROM capydb_auth.users AS u
WHERE u.placeholder_since IS NOT NULL;

COMMENT ON VIEW capydb_auth.placeholders
    IS 'Users that were referenced through ensure_user and of which no event has arrived yet.';
