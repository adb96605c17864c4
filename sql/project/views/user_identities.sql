-- user_identities shows through which identity providers users that are not deleted can sign in, from the provider's
-- user objects: Clerk's external_accounts and Auth0's identities. (Better Auth keeps its accounts in a table of its
-- own.) It is read with the rights of whoever reads it, so that row-level security of users holds here too.
CREATE OR REPLACE VIEW capydb_auth.user_identities
WITH (security_invoker = true)
AS
SELECT u.id AS user_id, i.identity_provider, i.identity_id, i.email
FROM capydb_auth.users AS u
CROSS JOIN LATERAL (
    SELECT e.doc ->> 'provider' AS identity_provider, e.doc ->> 'provider_user_id' AS identity_id, e.doc ->> 'email_address' AS email
    FROM jsonb_array_elements(
        CASE WHEN jsonb_typeof(u.raw -> 'external_accounts') = 'array' THEN u.raw -> 'external_accounts' ELSE '[]' END
    ) AS e (doc)
    UNION ALL
    SELECT
        coalesce(e.doc ->> 'connection', e.doc ->> 'provider'),
        e.doc ->> 'user_id',
        e.doc #>> '{profileData,email}'
    FROM jsonb_array_elements(
        CASE WHEN jsonb_typeof(u.raw -> 'identities') = 'array' THEN u.raw -> 'identities' ELSE '[]' END
    ) AS e (doc)
) AS i (identity_provider, identity_id, email)
WHERE u.deleted_at IS NULL;

COMMENT ON VIEW capydb_auth.user_identities
    IS 'The identities with which users that are not deleted can sign in, from the provider''s user objects.';
