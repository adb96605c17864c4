-- block_limit lets no request of an account's class go before a time, because the other
-- side said so.
--
-- Repeatable: yes; the latest time wins.
-- Order:      of no matter.
-- Result:     nothing.
CREATE OR REPLACE FUNCTION authsync.block_limit(
    p_account text,
    p_class   text,
    p_until   timestamptz,
    p_because text
)
RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $fn$
    INSERT INTO authsync.rate_limits AS l (account, class, blocked_until, because)
    VALUES (p_account, p_class, p_until, p_because)
    ON CONFLICT (account, class) DO UPDATE SET blocked_until = excluded.blocked_until, because = excluded.because
    WHERE l.blocked_until < excluded.blocked_until;
$fn$;

COMMENT ON FUNCTION authsync.block_limit(text, text, timestamptz, text)
    IS 'Lets no request of an account''s class go before a time.';
