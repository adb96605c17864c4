-- user_phones shows all phone numbers of users that are not deleted, from the provider's user objects: Clerk's
-- phone_numbers, Auth0's phone_number, Better Auth's phoneNumber (of its phone number plugin). It is read with the
-- rights of whoever reads it, so that row-level security of users holds here too.
CREATE OR REPLACE VIEW capydb_auth.user_phones
WITH (security_invoker = true)
AS
SELECT u.id AS user_id, p.phone_number, p.is_verified
FROM capydb_auth.users AS u
CROSS JOIN LATERAL (
    SELECT e.doc ->> 'phone_number' AS phone_number, e.doc #>> '{verification,status}' = 'verified' AS is_verified
    FROM jsonb_array_elements(
        CASE WHEN jsonb_typeof(u.raw -> 'phone_numbers') = 'array' THEN u.raw -> 'phone_numbers' ELSE '[]' END
    ) AS e (doc)
    UNION ALL
    SELECT u.raw ->> 'phone_number', u.raw -> 'phone_verified' = 'true'
    WHERE jsonb_typeof(u.raw -> 'phone_number') = 'string'
    UNION ALL
    SELECT u.raw ->> 'phoneNumber', u.raw -> 'phoneNumberVerified' = 'true'
    WHERE jsonb_typeof(u.raw -> 'phoneNumber') = 'string'
) AS p (phone_number, is_verified)
WHERE u.deleted_at IS NULL
  AND p.phone_number <> '';

COMMENT ON VIEW capydb_auth.user_phones
    IS 'All phone numbers of users that are not deleted, from the provider''s user objects.';
