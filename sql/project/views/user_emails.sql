-- user_emails shows all e-mail addresses of users that are not deleted, from the provider's user objects: Clerk's
-- email_addresses, Auth0's e-mail and those of linked identities, Better Auth's one. It is read with the rights of
-- whoever reads it, so that row-level security of users holds here too.
CREATE OR REPLACE VIEW capydb_auth.user_emails
WITH (security_invoker = true)
AS
SELECT
    u.id AS user_id,
    a.email,
    coalesce(lower(a.email) = lower(u.email), false) AS is_primary,
    a.is_verified
FROM capydb_auth.users AS u
CROSS JOIN LATERAL (
    SELECT e.doc ->> 'email_address' AS email, e.doc #>> '{verification,status}' = 'verified' AS is_verified
    FROM jsonb_array_elements(
        CASE WHEN jsonb_typeof(u.raw -> 'email_addresses') = 'array' THEN u.raw -> 'email_addresses' ELSE '[]' END
    ) AS e (doc)
    UNION ALL
    SELECT
        u.raw ->> 'email',
        coalesce(u.raw -> 'email_verified', u.raw -> 'emailVerified') = 'true'
    WHERE jsonb_typeof(u.raw -> 'email') = 'string'
    UNION ALL
    SELECT i.doc #>> '{profileData,email}', i.doc #> '{profileData,email_verified}' = 'true'
    FROM jsonb_array_elements(
        CASE WHEN jsonb_typeof(u.raw -> 'identities') = 'array' THEN u.raw -> 'identities' ELSE '[]' END
    ) AS i (doc)
    WHERE (i.doc #>> '{profileData,email}') IS DISTINCT FROM (u.raw ->> 'email')
) AS a (email, is_verified)
WHERE u.deleted_at IS NULL
  AND a.email <> '';

COMMENT ON VIEW capydb_auth.user_emails
    IS 'All e-mail addresses of users that are not deleted, from the provider''s user objects.';
