-- placeholders shows the rows that ensure_user and ensure_organization made and that no event
-- has filled yet. One that stays is a record whose events do not arrive, or an id that
-- the provider does not know: for users, reconcile finds out which. It is read with the rights of
-- whoever reads it, so that row-level security of the tables holds here too.
CREATE OR REPLACE VIEW capydb_auth.placeholders
WITH (security_invoker = true)
AS
SELECT
    'user'::text AS record_type,
    u.id AS record_id,
    u.placeholder_since AS since,
    clock_timestamp() - u.placeholder_since AS age
FROM capydb_auth.users AS u
WHERE u.placeholder_since IS NOT NULL
UNION ALL
SELECT
    'organization'::text AS record_type,
    o.id AS record_id,
    o.placeholder_since AS since,
    clock_timestamp() - o.placeholder_since AS age
FROM capydb_auth.organizations AS o
WHERE o.placeholder_since IS NOT NULL;

COMMENT ON VIEW capydb_auth.placeholders
    IS 'Records that were referenced through ensure_user or ensure_organization and of which no event has arrived yet.';
