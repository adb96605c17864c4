-- block_limit lets no request of an account's class go before a time, because the other
-- side said so.
--
-- Repeatable: yes; the latest time wins.
-- Order:      of no matter.
-- Result:     nothing.
CREATE OR REPLACE FUNCTION authsync.block_limit(
    p_scope  text,
    p_bucket text,
    p_until  timestamptz,
    p_reason text
)
RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $fn$
    INSERT INTO authsync.rate_limits AS l (scope, bucket, blocked_until, reason)
    VALUES (p_scope, p_bucket, p_until, p_reason)
    ON CONFLICT (scope, bucket) DO UPDATE SET blocked_until = excluded.blocked_until, reason = excluded.reason
    WHERE l.blocked_until < excluded.blocked_until;
$fn$;

COMMENT ON FUNCTION authsync.block_limit(text, text, timestamptz, text)
    IS 'Lets no request of an account''s class go before a time.';
