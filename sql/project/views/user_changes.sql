-- user_changes shows the changes of users; see record_changes. It is read with the rights of whoever reads it,
-- so that row-level security of changes holds here too.
CREATE OR REPLACE VIEW capydb_auth.user_changes
WITH (security_invoker = true)
AS
SELECT
    c.id,
    c.record_id AS user_id,
    c.kind,
    c.changed,
    c.before,
    c.after,
    c.provider,
    c.event_id,
    c.event_at,
    c.changed_at
FROM capydb_auth.record_changes AS c
WHERE c.record_type = 'user';

COMMENT ON VIEW capydb_auth.user_changes
    IS 'The changes of users in commit order: the columns that changed, before and after.';
