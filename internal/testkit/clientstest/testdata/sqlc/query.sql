-- name: ListOrders :many
SELECT o.id, o.total, u.email, m.organization_id, m.roles
FROM orders AS o
JOIN capydb_auth.active_users AS u ON u.id = o.owner_id
LEFT JOIN capydb_auth.active_memberships AS m ON m.user_id = u.id
WHERE o.owner_id = $1
ORDER BY m.organization_id;

-- name: FindUser :one
SELECT sqlc.embed(u), sqlc.embed(s)
FROM capydb_auth.users AS u
JOIN capydb_auth.sessions AS s ON s.user_id = u.id
WHERE u.id = $1;

-- name: ListAddresses :many
SELECT e.email, e.is_primary, i.identity_provider, p.phone_number, n.status, g.name
FROM capydb_auth.user_emails AS e
LEFT JOIN capydb_auth.user_identities AS i ON i.user_id = e.user_id
LEFT JOIN capydb_auth.user_phones AS p ON p.user_id = e.user_id
LEFT JOIN capydb_auth.invitations AS n ON n.email = e.email
LEFT JOIN capydb_auth.active_organizations AS g ON g.id = n.organization_id
WHERE e.user_id = $1;
