-- user_sources shows for each column of a user which event set its value, and
-- when: one row a user and column. It answers "why does this row look like this".
-- event_id and set_at are NULL for a column that no event set. What was set
-- without a clock has its time of receipt. It is read with the rights of whoever
-- reads it, so that row-level security of users holds here too.
CREATE OR REPLACE VIEW capydb_auth.user_sources
WITH (security_invoker = true)
AS
SELECT
    u.id               AS user_id,
    c.column_name,
    c.value,
    CASE WHEN n.is_newer THEN k.event_id    ELSE s.event_id END AS event_id,
    CASE WHEN n.is_newer THEN k.received_at ELSE s.at       END AS set_at,
    CASE WHEN n.is_newer THEN k.received_at ELSE s.sent_at  END AS sent_at
FROM capydb_auth.users AS u
CROSS JOIN LATERAL (
    VALUES
        (1,  'email',           u.email),
        (2,  'first_name',      u.first_name),
        (3,  'last_name',       u.last_name),
        (4,  'username',        u.username),
        (5,  'image_url',       u.image_url),
        (6,  'created_at',      u.created_at::text),
        (7,  'updated_at',      u.updated_at::text),
        (8,  'last_sign_in_at', u.last_sign_in_at::text),
        (9,  'deleted_at',      u.deleted_at::text),
        (10, 'raw',             u.raw::text)
) AS c (place, column_name, value)
-- As version_of; readers of the view may not call it.
CROSS JOIN LATERAL (
    SELECT
        CASE WHEN b.is_last THEN u.last_event_processed ELSE (b.doc ->> 'at')::timestamptz      END AS at,
        CASE WHEN b.is_last THEN u.last_event_sent_at   ELSE (b.doc ->> 'sent_at')::timestamptz END AS sent_at,
        CASE WHEN b.is_last THEN u.last_event_id        ELSE b.doc ->> 'event_id'               END AS event_id,
        CASE WHEN NOT b.is_last THEN (b.doc ->> 'received_at')::timestamptz                     END AS received_at
    FROM (
        SELECT
            u.last_event_fields & (1 << (c.place - 1)) <> 0 AS is_last,
            u.field_versions -> 'versions' -> c.column_name AS doc
    ) AS b
) AS s
CROSS JOIN LATERAL (
    SELECT
        u.field_versions -> 'unclocked' -> c.column_name ->> 'event_id' AS event_id,
        (u.field_versions -> 'unclocked' -> c.column_name ->> 'received_at')::timestamptz AS received_at
) AS k
-- As unclocked_is_newer; likewise.
CROSS JOIN LATERAL (
    SELECT k.received_at IS NOT NULL AND (
        s.at IS NULL
        OR k.received_at > s.at
        OR coalesce(k.received_at >= s.received_at, false)
    ) AS is_newer
) AS n;

COMMENT ON VIEW capydb_auth.user_sources
    IS 'For each user and column: the value, the event that set it, and when by the provider''s clock.';
