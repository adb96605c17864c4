-- claim_idempotency_key lets one attempt at an API call proceed, and returns its state or answer
-- to the others.
--
-- Repeatable: a second attempt with the same key gets busy, answered or unknown.
-- Order:      of concurrent attempts the first to insert proceeds; the others wait for its row.
-- Result:     result: claimed (proceed; then finish or release it), busy, answered (with the answer),
--             unknown (it was claimed, and ended without an answer), reused (by another
--             request), or full (the API key has p_most keys already).
--
-- Keys older than p_keep are ignored; each call deletes some of them.
CREATE OR REPLACE FUNCTION authsync.claim_idempotency_key(
    p_api_key_id   uuid,
    p_key_hash     bytea,
    p_request_hash bytea,
    p_claim        uuid,
    p_busy_for     interval,
    p_keep         interval,
    p_most         integer,
    p_now          timestamptz
)
RETURNS TABLE (result text, answer_sealed bytea)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $fn$
DECLARE
    v_found authsync.idempotency_keys;
BEGIN
    DELETE FROM authsync.idempotency_keys AS k
    WHERE k.ctid = ANY (ARRAY(
        SELECT o.ctid
        FROM authsync.idempotency_keys AS o
        WHERE o.created_at < p_now - p_keep
        ORDER BY o.created_at
        LIMIT 100
        FOR UPDATE SKIP LOCKED
    ));
    DELETE FROM authsync.idempotency_keys AS k
    WHERE k.api_key_id = p_api_key_id AND k.key_hash = p_key_hash AND k.created_at < p_now - p_keep;

    LOOP
        SELECT k.* INTO v_found
        FROM authsync.idempotency_keys AS k
        WHERE k.api_key_id = p_api_key_id AND k.key_hash = p_key_hash;
        IF FOUND THEN
            result := CASE
                WHEN v_found.request_hash <> p_request_hash THEN 'reused'
                WHEN v_found.answer_sealed IS NOT NULL THEN 'answered'
                WHEN v_found.busy_until > p_now THEN 'busy'
                ELSE 'unknown'
            END;
            IF result = 'answered' THEN
                answer_sealed := v_found.answer_sealed;
            END IF;
            RETURN NEXT;
            RETURN;
        END IF;

        IF (SELECT count(*) FROM (
                SELECT FROM authsync.idempotency_keys AS k WHERE k.api_key_id = p_api_key_id LIMIT p_most
            ) AS existing) >= p_most THEN
            result := 'full';
            RETURN NEXT;
            RETURN;
        END IF;

        INSERT INTO authsync.idempotency_keys AS k (api_key_id, key_hash, request_hash, claim, busy_until, created_at)
        VALUES (p_api_key_id, p_key_hash, p_request_hash, p_claim, p_now + p_busy_for, p_now)
        ON CONFLICT (api_key_id, key_hash) DO NOTHING;
        IF FOUND THEN
            result := 'claimed';
            RETURN NEXT;
            RETURN;
        END IF;
    END LOOP;
END;
$fn$;

COMMENT ON FUNCTION authsync.claim_idempotency_key(uuid, bytea, bytea, uuid, interval, interval, integer, timestamptz)
    IS 'Lets one attempt at an API call proceed, and returns its answer to the others.';
