-- take_permit grants a request of an account, now or after a wait, such that
-- no window of length p_per ever holds more than p_requests of them, over all processes
-- and even if each is sent up to p_late after its time.
--
-- A tenth of the requests may come in a burst, the others evenly spaced. Burst and
-- spacing together stay within the limit of any window that is longer by p_late.
--
-- Repeatable: no; each granted call uses up one request.
-- Order:      by the row's lock; p_now is the database's clock for every caller.
-- Result:     wait: the time until the request may be sent. If is_granted is false: the time
--             until it makes sense to try again; because is the reason, and nothing is used up.
--
-- p_requests, p_daily: 0 means no such limit. p_patience: a longer wait is not granted.
CREATE OR REPLACE FUNCTION authsync.take_permit(
    p_scope    text,
    p_bucket   text,
    p_requests integer,
    p_per      interval,
    p_daily    integer,
    p_zone     text,
    p_late     interval,
    p_patience interval,
    p_now      timestamptz
)
RETURNS TABLE (is_granted boolean, wait interval, reason text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $fn$
DECLARE
    v_limit   authsync.rate_limits;
    v_today   date := (p_now AT TIME ZONE p_zone)::date;
    v_burst   integer := greatest(p_requests / 10, 1);
    v_spacing interval := interval '0';
    v_at      timestamptz;
BEGIN
    INSERT INTO authsync.rate_limits AS l (scope, bucket)
    VALUES (p_scope, p_bucket)
    ON CONFLICT (scope, bucket) DO NOTHING;

    SELECT l.* INTO v_limit
    FROM authsync.rate_limits AS l
    WHERE l.scope = p_scope AND l.bucket = p_bucket
    FOR UPDATE;

    IF v_limit.day IS DISTINCT FROM v_today THEN
        v_limit.day_requests := 0;
    END IF;
    IF p_requests > 0 THEN
        v_spacing := (p_per + p_late) / greatest(p_requests - v_burst, 1);
    END IF;
    v_at := greatest(p_now, v_limit.blocked_until, v_limit.tat - (v_burst - 1) * v_spacing);
    is_granted := false;
    IF p_daily > 0 AND v_limit.day_requests >= p_daily THEN
        wait := ((v_today + 1)::timestamp AT TIME ZONE p_zone) - p_now;
        reason := format('the %s requests that the account allows for a day (%s) are used up', p_daily, p_zone);
    ELSIF v_at > p_now + p_patience THEN
        wait := v_at - p_now;
        reason := CASE
            WHEN v_limit.blocked_until >= v_at THEN coalesce(v_limit.reason, 'the other side takes no requests for a while')
            ELSE format('the account allows %s requests in %s s, and they are spoken for', p_requests, extract(epoch FROM p_per)::integer)
        END;
    ELSE
        is_granted := true;
        wait := v_at - p_now;
        UPDATE authsync.rate_limits AS l
        SET tat = greatest(v_limit.tat, v_at) + v_spacing, day = v_today, day_requests = v_limit.day_requests + 1
        WHERE l.scope = p_scope AND l.bucket = p_bucket;
    END IF;
    RETURN NEXT;
END;
$fn$;

COMMENT ON FUNCTION authsync.take_permit(text, text, integer, interval, integer, text, interval, interval, timestamptz)
    IS 'Grants requests of an account within its rate limits, over all processes.';
