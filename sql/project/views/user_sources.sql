-- user_sources tells of each column of a user which event said its value, and
-- when: one row a user and column. It answers "why does this row look like this".
-- event_id and said_at are NULL for a column of which no event ever spoke.
CREATE OR REPLACE VIEW capydb_auth.user_sources AS
SELECT
    u.id               AS user_id,
    c.column_name,
    c.value,
    (c.source).event_id AS event_id,
    (c.source).at       AS said_at,
    (c.source).sent_at  AS sent_at
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
) AS c (place, column_name, value, source);

COMMENT ON VIEW capydb_auth.user_sources
    IS 'For each user and column: the value, the event that said it, and when by the provider''s clock.';
