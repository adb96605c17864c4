-- user_sources tells of each column of a user which event said its value, and
-- when: one row a user and column. It answers "why does this row look like this".
-- event_id and set_at are NULL for a column of which no event ever spoke. What was said
-- without a clock has its time of receipt. It is read with the rights of whoever
-- reads it, so that row-level security of users holds here too.
CREATE OR REPLACE VIEW capydb_auth.user_sources
WITH (security_invoker = true)
AS
SELECT
    u.id               AS user_id,
    c.column_name,
    c.value,
    CASE WHEN n.is_newer THEN n.event_id    ELSE (c.source).event_id END AS event_id,
    CASE WHEN n.is_newer THEN n.received_at ELSE (c.source).at       END AS set_at,
    CASE WHEN n.is_newer THEN n.received_at ELSE (c.source).sent_at  END AS sent_at
FROM capydb_auth.users AS u
LEFT JOIN capydb_auth.user_versions AS v ON v.user_id = u.id
CROSS JOIN LATERAL (
    VALUES
        (1,  'email',           u.email,                 v.email),
        (2,  'first_name',      u.first_name,            v.first_name),
        (3,  'last_name',       u.last_name,             v.last_name),
        (4,  'username',        u.username,              v.username),
        (5,  'image_url',       u.image_url,             v.image_url),
        (6,  'created_at',      u.created_at::text,      v.created_at),
        (7,  'updated_at',      u.updated_at::text,      v.updated_at),
        (8,  'last_sign_in_at', u.last_sign_in_at::text, v.last_sign_in_at),
        (9,  'deleted_at',      u.deleted_at::text,      v.deleted_at),
        (10, 'raw',             u.raw::text,             v.raw)
) AS c (place, column_name, value, source)
CROSS JOIN LATERAL (
    SELECT
        k.event_id,
        k.received_at,
        -- As unclocked_is_newer says; readers of the view may not call it.
        k.received_at IS NOT NULL AND (
            (c.source).at IS NULL
            OR k.received_at > (c.source).at
            OR coalesce(k.received_at >= (c.source).received_at, false)
        ) AS is_newer
    FROM (
        SELECT
            v.unclocked -> c.column_name ->> 'event_id' AS event_id,
            (v.unclocked -> c.column_name ->> 'received_at')::timestamptz AS received_at
    ) AS k
) AS n;

COMMENT ON VIEW capydb_auth.user_sources
    IS 'For each user and column: the value, the event that said it, and when by the provider''s clock.';
